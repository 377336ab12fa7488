"""The runtime's memory profile: which stacks allocated how much, of the objects that were sampled.

Facts from runtime/mprof.go, Go 1.21 to 1.27. A *bucket* stands for one stack and one size of object; behind its
header lie the return addresses of the stack and then a memRecord: what was published, and three cycles that
are not yet. Buckets are linked, newest first, from ``runtime.mbuckets``, and every sampled object has a special
that points to its bucket. Without symbols the head of the list is the one variable that points to a bucket;
a bucket is known by its hash.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.errors import NotCaptured
from heldby.golang.functions.functions import FunctionTable
from heldby.golang.objects.specials import PROFILE, SpecialTable
from heldby.golang.profile.profile_frames import ProfileFrame, expanded_stacks, frames_of
from heldby.golang.runtime.linked_lists import walk_lists
from heldby.golang.runtime.runtime import Runtime
from heldby.golang.runtime.structs import StructRows, words_at
from heldby.memory.image import ADDRESS_END

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]
_MEMORY: Final = 1  # mprof.go: memProfile, blockProfile, mutexProfile
_MAX_FRAMES: Final = 1024  # mprof.go, maxProfStackDepth
_MOST_BUCKETS: Final = 1 << 24
_CYCLES: Final = 3
_MOST_OBJECTS: Final = np.uint64(1 << 56)
# What the profile is read with; the linker turns profiling off where neither is reachable (cmd/link, lib.go).
_READERS: Final = ("runtime.memProfileInternal", "runtime.MemProfile")


class Profiling(Enum):
    """Whether the process samples its allocations."""

    ON = "on"
    OFF = "off"
    DROPPED = "dropped"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MemoryProfile:
    """All buckets, in the order in which the runtime lists them, as columns of length b.

    Attributes:
        profiling: ``ON``; ``OFF`` when ``runtime.MemProfileRate`` is 0, ``DROPPED`` when the linker turned it
            off because nothing in the program reads the profile.
        rate: ``runtime.MemProfileRate``; None when it was not found.
        address: ``uint64[b]``.
        size: ``int64[b]``, bytes of each object, its whole slot.
        allocs, frees: ``int64[b]``, objects that the runtime would report now, unscaled.
        first: ``int64[b + 1]``, where each stack begins in `stack`.
        stack: ``uint32[...]``, leaf first, indexes of `frames`.
        frames: each distinct return address, and what it says.
        counts_bytes: the runtime counts bytes besides objects, as it did up to Go 1.26.
        complete: the list was found; otherwise these are only the buckets of objects that still exist.
        damaged: buckets that are missing from the capture or contradict themselves.
    """

    profiling: Profiling
    rate: int | None
    address: U64
    size: I64
    allocs: I64
    frees: I64
    first: I64
    stack: NDArray[np.uint32]
    frames: tuple[ProfileFrame, ...]
    counts_bytes: bool
    complete: bool
    damaged: int

    def __len__(self) -> int:
        return int(self.address.size)

    def rows_of(self, addresses: U64) -> I64:
        """Return the bucket at each address, -1 for none. O(n log b)."""
        if not len(self):
            return np.full(addresses.size, -1, np.int64)
        order = np.argsort(self.address)
        at = np.minimum(np.searchsorted(self.address, addresses, sorter=order), len(self) - 1)
        rows = order[at]
        return np.where(self.address[rows] == addresses, rows, -1)


def read_memory_profile(
    runtime: Runtime, functions: FunctionTable, specials: SpecialTable, rate_at: int | None
) -> MemoryProfile:
    """Return the memory profile. O(buckets and their frames).

    Args:
        runtime: of the process.
        functions: its functions.
        specials: those of kind profile name the buckets of objects.
        rate_at: address of ``runtime.MemProfileRate``, where it is known.
    """
    sampled = np.unique(specials.payload[specials.of_kind(PROFILE), 0])
    head = _head(runtime)
    limit = min(sum(buffer.size for buffer in runtime.image.buffers) // 64 + 1, _MOST_BUCKETS)
    link = runtime.layout.offset("runtime.bucket", "allnext")
    _, listed, cut = walk_lists(
        runtime.pages, np.array([head or 0], np.uint64), np.array([limit], np.uint64), link=link
    )
    loose = sampled[~np.isin(sampled, listed)]
    headers = _headers(runtime, np.concatenate((listed, loose)))
    first, pcs, whole = _stacks(runtime, headers)
    if not whole.all():
        headers = headers.only(whole)
        first, pcs, _ = _stacks(runtime, headers)
    damaged = int(listed.size + loose.size - headers.address.size) + cut
    counts, published = _counts(runtime, headers.ends(runtime))
    first, pcs = expanded_stacks(functions, first, pcs)
    distinct, stack = np.unique(pcs, return_inverse=True)
    rate = _rate(runtime, rate_at)
    return MemoryProfile(
        profiling=_profiling(functions, rate, sampled.size > 0),
        rate=rate,
        address=headers.address,
        size=headers.size,
        allocs=counts[0],
        frees=counts[1],
        first=first,
        stack=stack.astype(np.uint32),
        frames=frames_of(functions, distinct),
        counts_bytes=runtime.layout.has("runtime.memRecordCycle", "alloc_bytes"),
        complete=head is not None and not damaged and published,
        damaged=damaged,
    )


def _profiling(functions: FunctionTable, rate: int | None, sampled: bool) -> Profiling:
    if rate is not None and rate > 0:
        return Profiling.ON
    if all(functions.named(name) < 0 for name in _READERS):
        return Profiling.DROPPED
    if rate is not None:
        return Profiling.OFF
    return Profiling.ON if sampled else Profiling.UNKNOWN


def _rate(runtime: Runtime, rate_at: int | None) -> int | None:
    if rate_at is None:
        return None
    try:
        (rate,) = runtime.image.unpack("<q", rate_at)
    except NotCaptured:
        return None
    return int(rate)


def _head(runtime: Runtime) -> int | None:
    """Return the address of the newest bucket, 0 when there is none, None when that is not known."""
    named = runtime.symbols.get("runtime.mbuckets")
    if named is not None:
        try:
            return runtime.image.u64(named)
        except NotCaptured:
            return None
    for module in runtime.modules:
        low, _ = module.range("bss", "ebss")
        pointers = module.pointer_masks["bss"]
        data, _ = runtime.image.read_available(low, 8 * pointers.size)
        values = np.frombuffer(data, np.uint64)[pointers]
        values = np.unique(values[(values >= 1 << 16) & (values < ADDRESS_END) & (values % 8 == 0)])
        headers = _headers(runtime, values)
        found = headers.address[_stacks(runtime, headers)[2]]
        if found.size:
            return int(found[0])
    return None


@dataclass(frozen=True, slots=True, eq=False)
class _Headers:
    """Address, object size, number of frames and hash of each bucket."""

    address: U64
    size: I64
    frames: I64
    hash: U64

    def only(self, wanted: NDArray[np.bool_]) -> _Headers:
        return _Headers(self.address[wanted], self.size[wanted], self.frames[wanted], self.hash[wanted])

    def stacks(self, runtime: Runtime) -> U64:
        """Return where each stack begins."""
        return self.address + np.uint64(runtime.layout.size("runtime.bucket"))

    def ends(self, runtime: Runtime) -> U64:
        """Return where each stack ends and the record begins."""
        return self.stacks(runtime) + (8 * self.frames).astype(np.uint64)


def _headers(runtime: Runtime, addresses: U64) -> _Headers:
    """Return those of the addresses at which a bucket of the memory profile can lie."""
    rows = StructRows(runtime.pages, runtime.layout, "runtime.bucket", addresses)
    frames, size = rows.column("nstk"), rows.column("size")
    sound = rows.present & (rows.column("typ") == _MEMORY)
    sound &= (frames > 0) & (frames <= _MAX_FRAMES) & (size > 0) & (size < ADDRESS_END)
    return _Headers(
        addresses[sound],
        size[sound].astype(np.int64),
        frames[sound].astype(np.int64),
        rows.column("hash")[sound],
    )


def _stacks(runtime: Runtime, headers: _Headers) -> tuple[I64, U64, NDArray[np.bool_]]:
    """Return where each bucket's stack begins, all return addresses, and which are whole, by their hash."""
    lengths = headers.frames
    first = np.zeros(lengths.size + 1, np.int64)
    np.cumsum(lengths, out=first[1:])
    within = np.arange(int(first[-1]), dtype=np.int64) - np.repeat(first[:-1], lengths)
    starts = np.repeat(headers.stacks(runtime), lengths)
    pcs, _ = words_at(runtime.pages, starts + (8 * within).astype(np.uint64))
    return first, pcs, headers.hash == _hashes(headers, first, pcs)


def _hashes(headers: _Headers, first: I64, pcs: U64) -> U64:
    """Return the hash of each bucket's stack and size (mprof.go, stkbucket)."""
    found = np.zeros(headers.address.size, np.uint64)

    def add(which: NDArray[np.intp], values: U64) -> None:
        mixed = (found[which] + values) * np.uint64(1025)
        found[which] = mixed ^ (mixed >> np.uint64(6))

    for position in range(int(headers.frames.max(initial=0))):
        longer = np.flatnonzero(headers.frames > position)
        add(longer, pcs[first[longer] + position])
    add(np.arange(found.size), headers.size.astype(np.uint64))
    found *= np.uint64(9)
    hashes: U64 = found ^ (found >> np.uint64(11))
    return hashes


def _counts(runtime: Runtime, records: U64) -> tuple[I64, bool]:
    """Return ``int64[2, b]``, allocations and frees as the runtime would report them; whether all are there.

    As memProfileInternal does: the present cycle counts as published; and before the first collection, where
    nothing is published, all cycles count.
    """
    cycle_bytes = runtime.layout.size("runtime.memRecordCycle")
    starts = [runtime.layout.offset("runtime.memRecord", "active")]
    future = runtime.layout.offset("runtime.memRecord", "future")
    starts += [future + number * cycle_bytes for number in range(_CYCLES)]
    counts = np.zeros((1 + _CYCLES, 2, records.size), np.int64)
    complete = True
    for number, start in enumerate(starts):
        for side, name in enumerate(("allocs", "frees")):
            at = start + runtime.layout.offset("runtime.memRecordCycle", name)
            words, present = words_at(runtime.pages, records + np.uint64(at))
            sound = present & (words < _MOST_OBJECTS)
            counts[number, side] = np.where(sound, words, 0).astype(np.int64)
            complete = complete and bool(sound.all())
    served = counts[0] + counts[1 + _cycle(runtime) % _CYCLES]
    return (served if served.any() else counts.sum(axis=0)), complete


def _cycle(runtime: Runtime) -> int:
    """Return the number of the profile's cycle.

    Without the symbol ``mProfCycle`` that is the number of collections, half of ``mheap_.sweepgen``: both are
    counted up in gcMarkTermination. (A collector that GODEBUG=gcstoptheworld=2 makes synchronous counts twice.)
    """
    named = runtime.symbols.get("runtime.mProfCycle")
    if named is not None:
        try:
            return runtime.image.u32(named) >> 1  # the lowest bit: already flushed
        except NotCaptured:
            pass
    return runtime.image.u32(runtime.mheap + runtime.layout.offset("runtime.mheap", "sweepgen")) >> 1
