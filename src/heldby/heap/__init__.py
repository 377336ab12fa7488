"""The `Heap`: objects, types, references and roots of one process; what everything to the right reads."""
