"""What the bytes mean to the Go runtime: spans, pointer bitmaps, types, goroutines, specials."""
