"""Values of a `Heap`: the reader of its process's memory, made once."""

from __future__ import annotations

from heldby.golang.functions.functions import FunctionTable
from heldby.golang.values import ValueReader
from heldby.heap.heap import Heap


def values_of(heap: Heap) -> ValueReader:
    """Return what reads Go values in the memory of `heap`'s process."""
    runtime = heap.process.runtime
    return heap.result(
        ValueReader,
        lambda: ValueReader(runtime, heap.objects, heap.naming.types, lambda: FunctionTable(runtime)),
    )
