"""The `Heap`: objects, types, references and roots of one process; what everything to the right reads."""

from __future__ import annotations

from heldby.heap.heap import Heap
from heldby.heap.loading import load_heap

__all__ = ["Heap", "load_heap"]
