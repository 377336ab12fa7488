"""How Go's releases differ in what heldby reads, beyond offsets: all of it, in one place, as data.

Newest first; each with the Go file that it comes from. A difference is told by a feature of the layout (a
structure, field or constant that goes with it) wherever there is one, so that a release of tomorrow is read by
what it has; only where nothing shows it does the number of the release decide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from heldby.golang.layouts.layout import Layout


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that holds in some releases only.

    Attributes:
        first, last: minor releases (of Go 1) in which it holds; `last` None for "still so".
        source: the Go file that says so, in the first release (in the last one, if it began before 1.21).
        meaning: what it means to a reader of memory.
        shown_by: ``(structure, field)`` whose presence shows it, or ``(structure, None)``, or the name of a
            constant; None when nothing in the layout does.
    """

    first: int
    last: int | None
    source: str
    meaning: str
    shown_by: tuple[str, str | None] | str | None

    def holds(self, layout: Layout) -> bool:
        """Tell whether it holds in the release of `layout`."""
        if self.shown_by is None:
            return self.first <= layout.minor and (self.last is None or layout.minor <= self.last)
        if isinstance(self.shown_by, str):
            return layout.has_const(self.shown_by)
        return layout.has(*self.shown_by)


VECTOR_REGISTERS_ARE_ROOTS: Final = Difference(
    27,
    None,
    "runtime/mgcmark.go, scanstack (xRegScan)",
    "the vector registers of a goroutine that was preempted between safe points are scanned; 1.26 saves them only",
    None,
)
CLEANUP_HAS_CALL: Final = Difference(
    26,
    None,
    "runtime/mcleanup.go, cleanupFn",
    "a cleanup is {call, fn, arg}, and a small argument without pointers gets a box of 16 bytes; *funcval before",
    ("runtime.specialCleanup", "cleanup"),
)
WEAK_HANDLES_STAND_ALONE: Final = Difference(
    26,
    None,
    "runtime/mheap.go, getOrAddWeakHandle",
    "a weak handle has a slot of 16 bytes of its own; before, 8 bytes of a tiny block",
    None,
)
DIRECT_FLAG_IN_TFLAG: Final = Difference(
    26,
    None,
    "internal/abi/type.go, TFlagDirectIface",
    "a type flag says that an interface holds the value itself; a bit of the kind before",
    "internal/abi.TFlagDirectIface",
)
CLEANUP_QUEUE: Final = Difference(
    25,
    None,
    "runtime/mcleanup.go, cleanupQueue",
    "cleanups that are due wait in blocks of their own; among the finalizers in 1.24",
    ("runtime.cleanupQueue", "all"),
)
INLINE_MARKS: Final = Difference(
    25,
    None,
    "runtime/mgcmark_greenteagc.go, spanInlineMarkBits",
    "spans of slots up to 512 bytes may keep mark bits in their last 128 bytes (an experiment in 1.25)",
    ("runtime.heapArena", "pageUseSpanInlineMarkBits"),
)
MASKS_ON_DEMAND: Final = Difference(
    24,
    None,
    "runtime/type.go, getGCMaskOnDemand",
    "the pointer mask of a large type may not be built yet: GCData is the address of a word for it",
    "internal/abi.TFlagGCMaskOnDemand",
)
OLD_MAPS: Final = Difference(
    21,
    25,
    "runtime/map.go, hmap; internal/buildcfg/exp.go, SwissMap",
    "maps are hash buckets with overflow lists; from 1.24 only in builds with GOEXPERIMENT=noswissmap, which the "
    "descriptors of map types tell (`TypeTable.map_part`)",
    ("runtime.hmap", None),
)
MALLOC_HEADERS: Final = Difference(
    22,
    None,
    "runtime/mbitmap.go, heapSetType; runtime/mheap.go, mspan.largeType",
    "pointer bits lie at the end of spans of slots up to 512 bytes; larger objects name their type",
    ("runtime.mspan", "largeType"),
)
ARENA_BITMAP: Final = Difference(
    21,
    21,
    "runtime/mbitmap.go, heapBitsForAddr",
    "each arena of 64 MiB has a bit for every word; of an allocated slot all bits are written, so noMorePtrs "
    "is not needed",
    ("runtime.heapArena", "bitmap"),
)

DIFFERENCES: Final = (
    VECTOR_REGISTERS_ARE_ROOTS,
    CLEANUP_HAS_CALL,
    WEAK_HANDLES_STAND_ALONE,
    DIRECT_FLAG_IN_TFLAG,
    CLEANUP_QUEUE,
    INLINE_MARKS,
    MASKS_ON_DEMAND,
    OLD_MAPS,
    MALLOC_HEADERS,
    ARENA_BITMAP,
)
