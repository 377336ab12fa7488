"""What small objects cost: headers, rounding, free slots, and the same data as texts."""
