"""The scheduler's Ps and Ms (runtime/runtime2.go): ``runtime.allp`` and ``runtime.allm``, named or recognised.

A P keeps pages, memory and caches of its own; an M keeps two stacks that no list of goroutines shows.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.errors import NotCaptured
from heldby.golang.goroutines.goroutine_list import slices_in_bss
from heldby.golang.runtime.runtime import Runtime
from heldby.golang.runtime.structs import StructRows
from heldby.memory.image import ADDRESS_END

U64 = NDArray[np.uint64]
_MAX_PROCESSORS: Final = 1 << 16
_MAX_THREADS: Final = 1 << 17
_STATES: Final = 5  # _Pidle .. _Pdead


def find_processors(runtime: Runtime) -> U64:
    """Return the addresses of all P structures, empty when they are not found.

    Without a symbol: the longest slice among the variables whose elements say that they are P number 0, 1, 2 ...
    """
    named = runtime.symbols.get("runtime.allp")
    if named is not None:
        try:
            found = _processors_at(runtime, *runtime.image.unpack("<QQ", named))
            if found is not None:
                return found
        except NotCaptured:
            pass
    for pointer, count in slices_in_bss(runtime):
        found = _processors_at(runtime, pointer, count)
        if found is not None:
            return found
    return np.zeros(0, np.uint64)


def _processors_at(runtime: Runtime, pointer: int, count: int) -> U64 | None:
    if not 0 < count <= _MAX_PROCESSORS:
        return None
    try:
        addrs = runtime.image.words(pointer, count)
    except NotCaptured:
        return None
    if not (addrs.all() and (addrs % 8 == 0).all() and (addrs < ADDRESS_END).all()):
        return None
    rows = StructRows(runtime.pages, runtime.layout, "runtime.p", addrs)
    if not rows.present.all() or (rows.column("id") != np.arange(count)).any():
        return None
    caches, pages = rows.column("mcache"), rows.column("pcache", "base")
    sound = (rows.column("status") < _STATES).all() and (pages % 8192 == 0).all()
    known = [runtime.image.segment_at(cache) is not None for cache in caches[caches != 0].tolist()]
    return addrs if sound and known and all(known) else None


def find_threads(runtime: Runtime) -> U64:
    """Return the addresses of all M structures, empty when they are not found.

    An M is known by its g0, whose own M it is; they are linked, the newest first.
    """
    named = runtime.symbols.get("runtime.allm")
    if named is not None:
        try:
            return _linked_threads(runtime, runtime.image.u64(named))
        except NotCaptured:
            pass
    best = np.zeros(0, np.uint64)
    for module in runtime.modules[:1]:
        low, high = module.range("noptrdata", "end")
        data, _ = runtime.image.read_available(low, (high - low) & ~7)
        values = np.unique(np.frombuffer(data, np.uint64))
        values = values[(values >= 1 << 16) & (values < ADDRESS_END) & (values % 8 == 0)]
        for head in values[_are_threads(runtime, values)].tolist():
            found = _linked_threads(runtime, head)
            if found.size > best.size:
                best = found
    return best


def _linked_threads(runtime: Runtime, head: int) -> U64:
    link = runtime.layout.offset("runtime.m", "alllink")
    found: dict[int, None] = {}
    while head and head not in found and len(found) < _MAX_THREADS:
        if not _are_threads(runtime, np.array([head], np.uint64))[0]:
            break
        found[head] = None
        try:
            head = runtime.image.u64(head + link)
        except NotCaptured:
            break
    return np.fromiter(found, np.uint64, len(found))


def _are_threads(runtime: Runtime, addrs: U64) -> NDArray[np.bool_]:
    """Tell which of the addresses are Ms: ``m.g0.m == m``."""
    layout = runtime.layout
    own = _words(runtime, addrs + np.uint64(layout.offset("runtime.m", "g0")))
    own[(own >= ADDRESS_END) | (own % 8 != 0)] = 0
    back = _words(runtime, own + np.uint64(layout.offset("runtime.g", "m")))
    sound: NDArray[np.bool_] = (own != 0) & (back == addrs)
    return sound


def _words(runtime: Runtime, addrs: U64) -> U64:
    """Return the word at each address, 0 where it is not in the capture."""
    return StructRows(runtime.pages, runtime.layout, "runtime.funcval", addrs).raw(0, 8)
