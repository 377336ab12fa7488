"""The runtime's own counters: `runtime.memstats` and the statistics of the heap (runtime/mstats.go).

`memstats` needs no symbol: ``mheap_.pages.sysStat`` points at its field gcMiscSys, and the counters of two
allocators confirm it. Counters say what the runtime obtained, not what of it is resident.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from heldby.errors import NotCaptured
from heldby.golang.layouts.layout import Layout
from heldby.golang.runtime.runtime import Runtime

_STATS: Final = "runtime.mstats"
_DELTA: Final = "runtime.heapStatsDelta"
_DELTAS: Final = 3
_PAUSES: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryStatistics:
    """Counters of one runtime, in bytes unless said otherwise.

    Attributes:
        committed: address space of the heap that is not given back.
        released: pages of the heap given back to the operating system.
        in_heap: spans of the garbage-collected heap.
        in_stacks: spans of stacks.
        in_work_buffers: spans of the collector's own.
        allocated_objects, allocated_bytes, freed_bytes: since the program started, as far as counted yet.
        stacks_sys: stacks of threads that the runtime took from the operating system.
        mspan_sys, mspan_in_use, mcache_sys, mcache_in_use, profiling_sys, gc_misc_sys, other_sys: the
            runtime's own structures.
        collections, forced_collections: number of cycles that ended.
        last_collection_unix: seconds since 1970, None before the first.
        cpu_share: of the CPU time available, taken by the collector since the program started; None for
            a number that is no share.
        pause_total_ns, longest_recent_pause_ns: stop-the-world pauses, all; of the last 256 cycles.
    """

    committed: int
    released: int
    in_heap: int
    in_stacks: int
    in_work_buffers: int
    stacks_sys: int
    mspan_sys: int
    mspan_in_use: int
    mcache_sys: int
    mcache_in_use: int
    profiling_sys: int
    gc_misc_sys: int
    other_sys: int
    collections: int
    forced_collections: int
    last_collection_unix: float | None
    cpu_share: float | None
    pause_total_ns: int
    longest_recent_pause_ns: int

    @property
    def free(self) -> int:
        """Pages of the heap that are in no span and not given back."""
        return self.committed - self.in_heap - self.in_stacks - self.in_work_buffers

    @property
    def metadata(self) -> int:
        """What the runtime took for its own structures, outside the heap's address space."""
        parts = (self.stacks_sys, self.mspan_sys, self.mcache_sys, self.profiling_sys)
        return sum(parts) + self.gc_misc_sys + self.other_sys

    def classes(self) -> Mapping[str, int]:
        """Return the counters by their names in runtime/metrics, without ``/memory/classes/``.

        The two that need the objects, heap/objects and heap/unused, come as their sum, ``heap/in-use``.
        """
        return {
            "heap/in-use": self.in_heap,
            "heap/free": self.free,
            "heap/released": self.released,
            "heap/stacks": self.in_stacks,
            "os-stacks": self.stacks_sys,
            "metadata/mspan/inuse": self.mspan_in_use,
            "metadata/mspan/free": self.mspan_sys - self.mspan_in_use,
            "metadata/mcache/inuse": self.mcache_in_use,
            "metadata/mcache/free": self.mcache_sys - self.mcache_in_use,
            "metadata/other": self.in_work_buffers + self.gc_misc_sys,
            "profiling/buckets": self.profiling_sys,
            "other": self.other_sys,
            "total": self.committed + self.released + self.metadata,
        }


def read_memory_statistics(runtime: Runtime) -> MemoryStatistics | None:
    """Return the counters; None where they are not found or not in the capture."""
    try:
        at = _memstats(runtime)
        return None if at is None else _read(runtime, at)
    except (NotCaptured, KeyError):
        return None


def _memstats(runtime: Runtime) -> int | None:
    layout = runtime.layout
    at = runtime.mheap_word("pages", "sysStat") - layout.offset(_STATS, "gcMiscSys")
    for field, allocator in (("mspan_sys", "spanalloc"), ("mcache_sys", "cachealloc")):
        if runtime.mheap_word(allocator, "stat") != at + layout.offset(_STATS, field):
            return None
    return at


def _read(runtime: Runtime, at: int) -> MemoryStatistics | None:
    image, layout = runtime.image, runtime.layout

    def word(field: str) -> int:
        return image.u64(at + layout.offset(_STATS, field))

    heap = _heap_totals(runtime, at + layout.offset(_STATS, "heapStats"))
    pauses = image.words(at + layout.offset(_STATS, "pause_ns"), _PAUSES)
    last = word("last_gc_unix")
    (share,) = image.unpack("<d", at + layout.offset(_STATS, "gc_cpu_fraction"))
    if min(heap.values()) < 0:
        return None
    return MemoryStatistics(
        **heap,
        stacks_sys=word("stacks_sys"),
        mspan_sys=word("mspan_sys"),
        mspan_in_use=runtime.mheap_word("spanalloc", "inuse"),
        mcache_sys=word("mcache_sys"),
        mcache_in_use=runtime.mheap_word("cachealloc", "inuse"),
        profiling_sys=word("buckhash_sys"),
        gc_misc_sys=word("gcMiscSys"),
        other_sys=word("other_sys"),
        collections=image.u32(at + layout.offset(_STATS, "numgc")),
        forced_collections=image.u32(at + layout.offset(_STATS, "numforcedgc")),
        last_collection_unix=last / 1e9 if 0 < last < 1 << 62 else None,
        cpu_share=float(share) if 0 <= share <= 1 else None,
        pause_total_ns=word("pause_total_ns"),
        longest_recent_pause_ns=int(pauses.max(initial=0)),
    )


def _heap_totals(runtime: Runtime, at: int) -> dict[str, int]:
    """Return the sums over the three deltas; single ones may be negative (mstats.go, consistentHeapStats)."""
    layout: Layout = runtime.layout
    size = layout.size(_DELTA)
    deltas = runtime.image.words(at, _DELTAS * size // 8).view(np.int64).reshape(_DELTAS, -1)

    def total(field: str) -> int:
        return int(deltas[:, layout.offset(_DELTA, field) // 8].sum())

    work = total("inWorkBufs")
    if layout.has(_DELTA, "inPtrScalarBits"):
        work += total("inPtrScalarBits")
    return {
        "committed": total("committed"),
        "released": total("released"),
        "in_heap": total("inHeap"),
        "in_stacks": total("inStacks"),
        "in_work_buffers": work,
    }
