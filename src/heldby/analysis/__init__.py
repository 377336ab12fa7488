"""Questions put to a `Heap`: who holds what, where the memory went. Knows nothing of output."""
