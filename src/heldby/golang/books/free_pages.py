"""Pages of the heap that are in no span: kept for later, or given back (runtime/mpagealloc.go).

The page allocator has two bits for each 8 KiB page of a chunk of 4 MiB: allocated, and scavenged, which means
given back to the operating system. Each P holds up to 64 pages that count as allocated there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.errors import NotCaptured
from heldby.golang.objects.spans import PAGE_BYTES
from heldby.golang.runtime.runtime import Runtime
from heldby.golang.runtime.structs import StructRows

U64 = NDArray[np.uint64]
_ADDRESSES: Final = 1 << 64
_CHUNK_PAGES: Final = 512
_MOST_RANGES: Final = 1 << 16
_MOST_CHUNKS: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class PageRuns:
    """Ranges of whole pages ``[start, end)``, which do not overlap."""

    starts: U64
    ends: U64

    @property
    def size(self) -> int:
        """Bytes of address space."""
        return int((self.ends - self.starts).sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class FreePages:
    """Pages in no span.

    Attributes:
        kept: still the process's; the next spans take them.
        returned: given back; touching them again costs a page fault.
        missing_chunks: chunks whose bits are not in the capture.
    """

    kept: PageRuns
    returned: PageRuns
    missing_chunks: int = 0


def heap_arenas(runtime: Runtime) -> PageRuns:
    """Return the address space that the runtime reserved for its heap, by arenas of 64 MiB."""
    layout, image = runtime.layout, runtime.image
    size, base = layout.const("runtime.heapArenaBytes"), layout.const("runtime.arenaBaseOffsetUintptr")
    numbers: list[int] = []
    for field in ("allArenas", "heapArenas", "userArenaArenas"):  # 1.24; 1.25 and later
        if layout.has("runtime.mheap", field):
            at = runtime.mheap + layout.offset("runtime.mheap", field)
            pointer, count = image.u64(at), image.u64(at + 8)
            if 0 < count < _MOST_RANGES:
                numbers.extend(image.words(pointer, count).tolist())
    starts = sorted({(number * size + base) % _ADDRESSES for number in numbers if number < 1 << 40})
    low = np.array(starts, np.uint64)
    return PageRuns(low, low + np.uint64(size))


def read_free_pages(runtime: Runtime, processors: U64) -> FreePages | None:
    """Return the pages in no span; None where the page allocator is not in the capture. O(chunks)."""
    try:
        chunks = _chunk_numbers(runtime)
        tables = _chunk_tables(runtime)
    except NotCaptured:
        return None
    base = runtime.layout.const("runtime.arenaBaseOffsetUintptr")
    kept, returned, missing = [], [], 0
    for number in chunks:
        low = (number * _CHUNK_PAGES * PAGE_BYTES + base) % _ADDRESSES
        bits = _chunk_bits(runtime, tables, number)
        if bits is None:
            missing += 1
            continue
        allocated, scavenged = bits
        kept.append((low, ~allocated & ~scavenged))
        returned.append((low, ~allocated & scavenged))
    for low, cached, scavenged in _page_caches(runtime, processors):
        kept.append((low, cached & ~scavenged))
        returned.append((low, cached & scavenged))
    return FreePages(kept=_runs(kept), returned=_runs(returned), missing_chunks=missing)


def _chunk_numbers(runtime: Runtime) -> list[int]:
    """Return the chunks that the heap has grown into (pageAlloc.inUse)."""
    layout, image = runtime.layout, runtime.image
    at = runtime.mheap + layout.offset("runtime.mheap", "pages", "inUse")
    pointer, count = image.u64(at), image.u64(at + 8)
    if not 0 < count <= _MOST_RANGES:
        return []
    bias = layout.const("runtime.arenaBaseOffsetUintptr")
    found: set[int] = set()
    for low, high in image.words(pointer, 2 * count).reshape(-1, 2).tolist():
        first = ((low - bias) % _ADDRESSES) // (_CHUNK_PAGES * PAGE_BYTES)
        last = ((high - bias) % _ADDRESSES + _CHUNK_PAGES * PAGE_BYTES - 1) // (_CHUNK_PAGES * PAGE_BYTES)
        if low < high and last - first < _MOST_CHUNKS and len(found) < _MOST_CHUNKS:
            found.update(range(first, last))
    return sorted(found)


def _chunk_tables(runtime: Runtime) -> U64:
    at = runtime.mheap + runtime.layout.offset("runtime.mheap", "pages", "chunks")
    return runtime.image.words(at, 1 << runtime.layout.const("runtime.pallocChunksL1Bits"))


def _chunk_bits(
    runtime: Runtime, tables: U64, number: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
    shift = runtime.layout.const("runtime.pallocChunksL2Bits")
    size = runtime.layout.size("runtime.pallocData")
    if number >> shift >= tables.size:
        return None
    table = int(tables[number >> shift])
    try:
        raw = runtime.image.read(table + (number & ((1 << shift) - 1)) * size, size)
    except NotCaptured:
        return None
    bits = np.unpackbits(np.frombuffer(raw, np.uint8), bitorder="little").astype(np.bool_)
    at = 8 * runtime.layout.offset("runtime.pallocData", "scavenged")
    return bits[:_CHUNK_PAGES], bits[at : at + _CHUNK_PAGES]


def _page_caches(runtime: Runtime, processors: U64) -> list[tuple[int, NDArray[np.bool_], NDArray[np.bool_]]]:
    rows = StructRows(runtime.pages, runtime.layout, "runtime.p", processors)
    base = rows.column("pcache", "base")
    caches, scavenged = (_bits(rows.column("pcache", field)) for field in ("cache", "scav"))
    return [(int(base[i]), caches[i], scavenged[i]) for i in np.flatnonzero(base).tolist()]


def _bits(words: U64) -> NDArray[np.bool_]:
    return np.unpackbits(words.view(np.uint8), bitorder="little").reshape(words.size, 64).astype(np.bool_)


def _runs(parts: list[tuple[int, NDArray[np.bool_]]]) -> PageRuns:
    starts, ends = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)]
    for low, flags in parts:
        edges = np.flatnonzero(np.diff(flags, prepend=False, append=False)).astype(np.uint64)
        starts.append(np.uint64(low) + edges[::2] * np.uint64(PAGE_BYTES))
        ends.append(np.uint64(low) + edges[1::2] * np.uint64(PAGE_BYTES))
    return PageRuns(np.concatenate(starts), np.concatenate(ends))
