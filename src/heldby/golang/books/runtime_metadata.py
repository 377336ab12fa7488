"""The runtime's own structures outside the heap's address space, by address, as far as something leads there.

The runtime takes them from the operating system by kind (runtime/malloc.go, sysAlloc and persistentalloc), and
what holds the heap together points at most of them. Linux 6 may name their mappings (``[anon: Go: gc bits]``,
Go 1.25 and later); these addresses need no such names. Resident bytes of a kind are counted by page.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.errors import NotCaptured
from heldby.golang.objects.spans import SpanTable
from heldby.golang.runtime.runtime import Runtime
from heldby.golang.runtime.structs import StructRows
from heldby.memory.image import ADDRESS_END

U64 = NDArray[np.uint64]
MSPANS: Final = "mspans"
MCACHES: Final = "mcaches"
GC_BITS: Final = "GC bits"
ARENA_MAPS: Final = "arena maps"
PAGE_SUMMARIES: Final = "page summaries"
PROFILING: Final = "profiling buckets"
SPAN_LIST: Final = "span list"
IMMORTAL: Final = "small structures"

_PAGE: Final = 4096
_CHUNK: Final = 256 << 10  # persistentChunkSize
_MOST_CHUNKS: Final = 1 << 20
_SUMMARY_LEVELS: Final = 5
_BUCKET_SLOTS: Final = 179999  # runtime/mprof.go, buckHashSize
_BUCKET_ROOM: Final = 8 * _BUCKET_SLOTS
_MOST_STRUCTURE: Final = 1 << 40


@dataclass(frozen=True, slots=True)
class Structures:
    """Address ranges ``[start, end)`` of one kind; those of a kind that comes earlier lie inside later ones."""

    kind: str
    starts: U64
    ends: U64


def runtime_structures(
    runtime: Runtime, spans: SpanTable | None, processors: U64, buckets: U64
) -> list[Structures]:
    """Return the runtime's structures by kind, small ones first, chunks that hold several kinds last.

    Kinds may overlap: bytes belong to the first kind that names them. What cannot be read is left out.

    Args:
        runtime: of the process.
        spans: all spans, None where they could not be read.
        processors: addresses of the Ps.
        buckets: addresses of the memory profile's buckets.
    """
    found: list[Structures] = []
    for kind, ranges in (
        (MSPANS, _mspans(runtime)),
        (MCACHES, _mcaches(runtime, processors)),
        (GC_BITS, _gc_bits(spans)),
        (PROFILING, _profiling(runtime, buckets)),
        (ARENA_MAPS, _arena_maps(runtime)),
        (PAGE_SUMMARIES, _page_summaries(runtime)),
        (SPAN_LIST, _span_list(runtime)),
        (IMMORTAL, _immortal_chunks(runtime)),
    ):
        try:
            starts, ends = zip(*ranges, strict=True)
        except (NotCaptured, ValueError):
            continue
        found.append(Structures(kind, np.concatenate(starts), np.concatenate(ends)))
    return found


_Ranges = Iterator[tuple[U64, U64]]


def _one(start: int, size: int) -> tuple[U64, U64]:
    if not (0 < start < ADDRESS_END and 0 < size <= _MOST_STRUCTURE):
        return np.zeros(0, np.uint64), np.zeros(0, np.uint64)
    return np.array([start], np.uint64), np.array([start + size], np.uint64)


def _slice(runtime: Runtime, *path: str) -> tuple[int, int, int]:
    pointer, length, capacity = runtime.image.unpack(
        "<QQQ", runtime.mheap + runtime.layout.offset("runtime.mheap", *path)
    )
    return pointer, length, capacity


def _mspans(runtime: Runtime) -> _Ranges:
    pointer, count, _ = _slice(runtime, "allspans")
    addrs = np.unique(runtime.image.words(pointer, count))
    yield addrs, addrs + np.uint64(runtime.layout.size("runtime.mspan"))


def _mcaches(runtime: Runtime, processors: U64) -> _Ranges:
    addrs = StructRows(runtime.pages, runtime.layout, "runtime.p", processors).column("mcache")
    addrs = np.unique(addrs[addrs != 0])
    yield addrs, addrs + np.uint64(runtime.layout.size("runtime.mcache"))


def _gc_bits(spans: SpanTable | None) -> _Ranges:
    """Bitmaps of spans fill chunks of 64 KiB of their own (runtime/mheap.go, newMarkBits): count whole pages."""
    if spans is None:
        return
    addrs = np.concatenate((spans.alloc_bits, spans.mark_bits))
    sizes = np.tile((spans.nelems + np.uint64(63)) // np.uint64(64) * np.uint64(8), 2)
    addrs, sizes = addrs[addrs != 0], sizes[addrs != 0]
    pages = np.unique(np.concatenate((addrs, addrs + sizes - np.uint64(1))) // np.uint64(_PAGE))
    yield pages * np.uint64(_PAGE), (pages + np.uint64(1)) * np.uint64(_PAGE)


def _profiling(runtime: Runtime, buckets: U64) -> _Ranges:
    """The memory profile's buckets, and the hash table of all profiles.

    Without a symbol the table is what a variable points to whose entries are buckets, each in its place.
    """
    rows = StructRows(runtime.pages, runtime.layout, "runtime.bucket", buckets)
    frames: U64 = np.minimum(rows.column("nstk"), np.uint64(1 << 10))
    size = runtime.layout.size("runtime.bucket") + runtime.layout.size("runtime.memRecord")
    ends: U64 = buckets + frames * np.uint64(8) + np.uint64(size)
    yield buckets, ends
    named = runtime.symbols.get("runtime.buckhash")
    if named is not None:
        yield _one(runtime.image.u64(named), _BUCKET_ROOM)
        return
    some = buckets[:64]
    places = rows.column("hash")[:64] % np.uint64(_BUCKET_SLOTS) * np.uint64(8)
    for module in runtime.modules[:1] if some.size else ():
        for table in _pointers(runtime, *module.range("noptrdata", "end")).tolist():
            entries = StructRows(
                runtime.pages, runtime.layout, "runtime.funcval", np.uint64(table) + places
            ).raw(0, 8)
            if 2 * int((entries == some).sum()) > some.size:
                yield _one(table, _BUCKET_ROOM)
                return


def _pointers(runtime: Runtime, low: int, high: int) -> U64:
    """Return the distinct page-aligned addresses that the variables in ``[low, high)`` hold."""
    data, _ = runtime.image.read_available(low, (high - low) & ~7)
    values = np.unique(np.frombuffer(data, np.uint64))
    pointers: U64 = values[(values >= 1 << 16) & (values < ADDRESS_END) & (values % _PAGE == 0)]
    return pointers


def _arena_maps(runtime: Runtime) -> _Ranges:
    layout, image = runtime.layout, runtime.image
    levels = image.u64(runtime.mheap + layout.offset("runtime.mheap", "arenas"))
    entries = 1 << layout.const("runtime.arenaL2Bits")
    yield _one(levels, 8 * entries)
    size = layout.size("runtime.heapArena")
    for field in ("allArenas", "heapArenas", "userArenaArenas"):
        if not layout.has("runtime.mheap", field):
            continue
        pointer, count, capacity = _slice(runtime, field)
        yield _one(pointer, 8 * capacity)
        for number in image.words(pointer, count).tolist() if 0 < count < 1 << 16 else ():
            if number < entries:
                yield _one(image.u64(levels + 8 * number), size)


def _page_summaries(runtime: Runtime) -> _Ranges:
    layout, image = runtime.layout, runtime.image
    for level in range(_SUMMARY_LEVELS):
        at = runtime.mheap + layout.offset("runtime.mheap", "pages", "summary") + 24 * level
        yield _one(image.u64(at), 8 * image.u64(at + 16))
    # pageAlloc.scav.index.chunks: the index is the structure's first field, the slice the index's.
    pointer, _, capacity = _slice(runtime, "pages", "scav")
    yield _one(pointer, 8 * capacity)
    tables = image.words(
        runtime.mheap + layout.offset("runtime.mheap", "pages", "chunks"),
        1 << layout.const("runtime.pallocChunksL1Bits"),
    )
    size = layout.size("runtime.pallocData") << layout.const("runtime.pallocChunksL2Bits")
    for table in tables[tables != 0].tolist():
        yield _one(table, size)


def _span_list(runtime: Runtime) -> _Ranges:
    pointer, _, capacity = _slice(runtime, "allspans")
    yield _one(pointer, 8 * capacity)


def _immortal_chunks(runtime: Runtime) -> _Ranges:
    """Chunks of persistentalloc: each begins with the address of the one before (`persistentChunks`).

    Without a symbol the list is the longest one that a variable heads and whose chunks hold the newest mspan.
    """
    known = [runtime.mheap_word(allocator, "chunk") for allocator in ("spanalloc", "cachealloc")]
    best: list[int] = []
    for module in runtime.modules[:1]:
        values = _pointers(runtime, *module.range("noptrdata", "end"))
        for head in values.tolist():
            chain = _chain(runtime, head)
            holds = any(chunk < addr <= chunk + _CHUNK for chunk in chain for addr in known)
            if holds and len(chain) > len(best):
                best = chain
    starts = np.array(sorted(best), np.uint64)
    yield starts, starts + np.uint64(_CHUNK)


def _chain(runtime: Runtime, head: int) -> list[int]:
    """Return the chunks of a list, empty when it is none."""
    chain: dict[int, None] = {}
    while head:
        if (
            head % _PAGE
            or head in chain
            or len(chain) == _MOST_CHUNKS
            or head + _CHUNK - 8 not in runtime.image
        ):
            return []
        chain[head] = None
        try:
            head = runtime.image.u64(head)
        except NotCaptured:
            return []
    return list(chain)
