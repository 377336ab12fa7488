"""What to change: rules, and what they rest on."""
