"""Algorithms on arrays of nodes and references. Knows nothing of Go, bytes or addresses."""
