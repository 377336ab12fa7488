"""Where the runtime keeps its goroutines: ``runtime.allgs``, found by name or by what it must look like."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.errors import NotCaptured
from heldby.golang.objects.objects import ObjectTable
from heldby.golang.runtime.runtime import Runtime
from heldby.golang.runtime.structs import StructRows

_MIN_STACK: Final = 2048
_MAX_GOROUTINES: Final = 1 << 28


def find_goroutines(runtime: Runtime, objects: ObjectTable) -> NDArray[np.uint64]:
    """Return the addresses of all g structures, dead ones included; empty when allgs cannot be found.

    Without a symbol allgs is the longest slice among the program's variables whose elements all are slots of
    g's size class with a stack of a power of two of bytes, or none (runtime/proc.go, allgadd).
    """
    named = runtime.symbols.get("runtime.allgs")
    if named is not None:
        try:
            pointer, count = runtime.image.unpack("<QQ", named)
            found = _goroutines_at(runtime, objects, pointer, count)
            if found is not None:
                return found
        except NotCaptured:
            pass
    best = np.zeros(0, np.uint64)
    for pointer, count in slices_in_bss(runtime):
        if count > best.size:
            found = _goroutines_at(runtime, objects, pointer, count)
            if found is not None:
                best = found
    return best


def slices_in_bss(runtime: Runtime) -> list[tuple[int, int]]:
    """Return ``(pointer, length)`` of every slice header in the variables that the collector scans."""
    found: list[tuple[int, int]] = []
    for module in runtime.modules:
        low, _ = module.range("bss", "ebss")
        mask = module.pointer_masks["bss"]
        data, _ = runtime.image.read_available(low, mask.size * 8)
        words = np.frombuffer(data, np.uint64)
        if words.size < 3:
            continue
        pointers, lengths, capacities = words[:-2], words[1:-1], words[2:]
        sound = mask[:-2] & ~mask[1:-1] & ~mask[2:] & (pointers != 0) & (lengths > 0)
        sound &= (lengths <= capacities) & (capacities < _MAX_GOROUTINES)
        found.extend(zip(pointers[sound].tolist(), lengths[sound].tolist(), strict=True))
    return sorted(found, key=lambda item: -item[1])


def _goroutines_at(
    runtime: Runtime, objects: ObjectTable, pointer: int, count: int
) -> NDArray[np.uint64] | None:
    if not 0 < count < _MAX_GOROUTINES or not objects.find(np.array([pointer], np.uint64))[0]:
        return None
    try:
        addrs = runtime.image.words(pointer, count)
    except NotCaptured:
        return None
    found = objects.find(addrs)
    if not found.all() or not (objects.address_of(found) == addrs).all():
        return None
    size = runtime.layout.size("runtime.g")
    slots = objects.spans.elemsize[objects.span_of(found)].astype(np.int64)
    # The slot is the smallest size class that holds a g (plus its malloc header, for g above 512 bytes).
    if not ((slots >= size) & (slots <= size + 128)).all():
        return None
    rows = StructRows(runtime.pages, runtime.layout, "runtime.g", addrs)
    stack = rows.column("stack", "hi") - rows.column("stack", "lo")
    sound = (stack == 0) | ((stack >= _MIN_STACK) & ((stack & (stack - np.uint64(1))) == 0))
    return addrs if sound.all() else None
