"""Where it was allocated: samples of the memory profile, joined to who holds the objects now."""
