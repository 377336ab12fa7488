"""Specials: what the runtime hangs on single objects (runtime/mheap.go, type special).

Finalizers, cleanups and weak handles are roots of their own; profile specials join a sampled object to the
stack that allocated it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.golang.layouts.layout import Layout
from heldby.golang.objects.objects import ObjectTable
from heldby.golang.runtime.linked_lists import walk_lists
from heldby.golang.runtime.runtime import Runtime
from heldby.golang.runtime.structs import StructRows, words_at

FINALIZER, CLEANUP, WEAK_HANDLE, PROFILE, OTHER = range(1, 6)
KIND_NAMES: Final[Mapping[int, str]] = {
    FINALIZER: "finalizer",
    CLEANUP: "cleanup",
    WEAK_HANDLE: "weak handle",
    PROFILE: "profile",
    OTHER: "other",
}
_CONSTANTS: Final = {
    "runtime._KindSpecialFinalizer": FINALIZER,
    "runtime._KindSpecialCleanup": CLEANUP,
    "runtime._KindSpecialWeakHandle": WEAK_HANDLE,
    "runtime._KindSpecialProfile": PROFILE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecialTable:
    """All specials, as columns of length k.

    Attributes:
        addr: address of the record.
        kind: FINALIZER, CLEANUP, WEAK_HANDLE, PROFILE or OTHER.
        object: the object that it hangs on, 0 when that slot is free.
        offset: byte offset within the span.
        payload: ``uint64[k, 4]``, the words behind the header: for a finalizer [fn, nret, fint, ot], for a
            cleanup [fn, id] or (1.26+) [call, fn, arg, id], for a weak handle [handle], a profile [bucket].
        broken_lists: lists that end in missing memory or go in circles.
    """

    addr: NDArray[np.uint64]
    kind: NDArray[np.uint8]
    object: NDArray[np.uint32]
    offset: NDArray[np.uint64]
    payload: NDArray[np.uint64]
    broken_lists: int

    def of_kind(self, kind: int) -> NDArray[np.intp]:
        """Return the rows of one kind."""
        return np.flatnonzero(self.kind == kind)


def read_specials(runtime: Runtime, objects: ObjectTable) -> SpecialTable:
    """Return all specials. O(specials)."""
    spans = objects.spans
    heads = np.flatnonzero(spans.specials != 0)
    # A slot has at most a handful of specials; finalizers, cleanups and handles of tiny values share slots.
    limits = spans.nelems[heads] * np.uint64(64) + np.uint64(1 << 16)
    rows, addrs, broken = walk_lists(runtime.pages, spans.specials[heads], limits)
    span = heads[rows]
    records = StructRows(runtime.pages, runtime.layout, "runtime.special", addrs)
    layout = runtime.layout
    offset = records.column("offset")
    raw_kind = records.column("kind")
    kind = np.full(addrs.size, OTHER, np.uint8)
    for name, meaning in _CONSTANTS.items():
        if layout.has_const(name):
            kind[raw_kind == layout.const(name)] = meaning
    return SpecialTable(
        addr=addrs,
        kind=kind,
        object=objects.find(spans.base[span] + offset),
        offset=offset,
        payload=_payload(runtime, layout, addrs),
        broken_lists=broken,
    )


def _payload(runtime: Runtime, layout: Layout, addrs: NDArray[np.uint64]) -> NDArray[np.uint64]:
    # The payload follows the header; its last words may lie behind a short record and are not used then.
    header = layout.size("runtime.special")
    words = [words_at(runtime.pages, addrs + np.uint64(header + 8 * i))[0] for i in range(4)]
    return np.stack(words, axis=1)
