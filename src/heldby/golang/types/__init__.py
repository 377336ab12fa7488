"""Go types: the runtime's descriptors, and what lies in each word of a value."""
