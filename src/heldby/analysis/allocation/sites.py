"""Allocated here, held there: the samples of the runtime's memory profile joined to who holds the objects.

A *site* is a stack as pprof shows it: without the runtime's own calls at the leaf end. Each sampled object that
still exists is live, and belongs to a row of the holders, or it is garbage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.analysis.allocation.estimates import Estimates, estimates
from heldby.analysis.answer import Frame, Held, ProfileFacts, Site
from heldby.analysis.holding.ownership import NOBODY, Ownership
from heldby.errors import MissingData
from heldby.golang.objects.specials import PROFILE
from heldby.golang.profile.memory_profile import MemoryProfile, Profiling
from heldby.heap.heap import Heap

I64 = NDArray[np.int64]
_REASONS: Final = {
    Profiling.DROPPED: (
        "the linker turned the memory profile off, since nothing in the program reads it",
        'import _ "net/http/pprof" in the program, build it and start it again',
    ),
    Profiling.OFF: (
        "runtime.MemProfileRate is 0: the program or GODEBUG=memprofilerate=0 turned the memory profile off",
        "leave runtime.MemProfileRate at its default and start the program again",
    ),
    Profiling.UNKNOWN: ("runtime.MemProfileRate was not found in the program", None),
}

# Fits a narrow screen.
_IN_SHORT: Final = {
    Profiling.DROPPED: 'the program lacks import _ "net/http/pprof"',
    Profiling.OFF: "runtime.MemProfileRate is 0",
    Profiling.UNKNOWN: "runtime.MemProfileRate was not found",
}


@dataclass(frozen=True, slots=True, eq=False)
class SiteMatrix:
    """Bytes by allocation site and holder, from the samples.

    Attributes:
        ownership: the holders; row numbers are theirs.
        stacks: the sites, largest first by live bytes; each leaf first.
        live, garbage: estimates by site.
        site, holder: ``int64[c]``, the cells that have samples; `NOBODY` holds garbage.
        cells: their estimates, largest first within a site.
        objects: ``uint32[s]``, the sampled objects.
        site_of_object: ``int64[s]``, the site of each.
        lost_samples: sampled objects whose stack is not in the capture.
    """

    ownership: Ownership
    stacks: tuple[tuple[Frame, ...], ...]
    live: Estimates
    garbage: Estimates
    site: I64
    holder: I64
    cells: Estimates
    objects: NDArray[np.uint32]
    site_of_object: I64
    lost_samples: int

    def sites(self) -> tuple[Site, ...]:
        """Return the sites as the answer has them."""
        return tuple(
            Site(
                stack=stack,
                live_bytes=int(self.live.bytes[row]),
                live_objects=int(self.live.objects[row]),
                live_bytes_low=int(self.live.low[row]),
                live_bytes_high=int(self.live.high[row]),
                live_samples=int(self.live.samples[row]),
                garbage_bytes=int(self.garbage.bytes[row]),
                garbage_samples=int(self.garbage.samples[row]),
            )
            for row, stack in enumerate(self.stacks)
        )

    def held(self) -> tuple[Held, ...]:
        """Return what holders hold of each site as the answer has it; without garbage."""
        cells = self.cells
        return tuple(
            Held(
                site=int(self.site[row]),
                holder=int(self.holder[row]),
                bytes=int(cells.bytes[row]),
                samples=int(cells.samples[row]),
                bytes_low=int(cells.low[row]),
                bytes_high=int(cells.high[row]),
            )
            for row in np.flatnonzero(self.holder != NOBODY).tolist()
        )


def site_matrix(ownership: Ownership) -> SiteMatrix | None:
    """Return the matrix; None where no estimate can be made. O(samples + frames of their stacks)."""
    heap = ownership.tree.heap
    profile = heap.profile
    if profile.rate is None or profile.rate <= 0:
        return None
    objects, bucket, lost = sampled_objects(heap)
    buckets, which = np.unique(bucket, return_inverse=True)
    stacks, site_of = shown_stacks(profile, buckets)
    site = site_of[which]
    sizes = profile.size[bucket]
    owner = ownership.of(objects).astype(np.int64)
    order, site = _largest_first(site, sizes, profile.rate, owner, len(stacks))
    is_live = owner != NOBODY
    cell, cells = _cells(site, owner, sizes, profile.rate, ownership)
    width = len(ownership.rows) + 2
    return SiteMatrix(
        ownership=ownership,
        stacks=tuple(stacks[number] for number in order.tolist()),
        live=estimates(site[is_live], len(stacks), sizes[is_live], profile.rate),
        garbage=estimates(site[~is_live], len(stacks), sizes[~is_live], profile.rate),
        site=cell // width,
        holder=cell % width - 1,
        cells=cells,
        objects=objects,
        site_of_object=site,
        lost_samples=lost,
    )


def sampled_objects(heap: Heap) -> tuple[NDArray[np.uint32], I64, int]:
    """Return the sampled objects that exist, the bucket of each, and of how many the bucket is not known."""
    rows = heap.specials.of_kind(PROFILE)
    rows = rows[heap.specials.object[rows] != 0]
    bucket = heap.profile.rows_of(heap.specials.payload[rows, 0])
    known = bucket >= 0
    return heap.specials.object[rows[known]], bucket[known], int((~known).sum())


def _largest_first(site: I64, sizes: I64, rate: int, owner: I64, count: int) -> tuple[I64, I64]:
    """Return the sites in order of live bytes, then of garbage, and each sample's new site number."""
    live = estimates(site[owner != NOBODY], count, sizes[owner != NOBODY], rate).bytes
    garbage = estimates(site[owner == NOBODY], count, sizes[owner == NOBODY], rate).bytes
    order = np.lexsort((-garbage, -live))
    number = np.empty(count, np.int64)
    number[order] = np.arange(count)
    return order.astype(np.int64), number[site]


def _cells(site: I64, owner: I64, sizes: I64, rate: int, ownership: Ownership) -> tuple[I64, Estimates]:
    """Return each cell's number, site times width and owner plus 1, and its estimates, by site and bytes."""
    width = len(ownership.rows) + 2
    cell, of_sample = np.unique(site * width + owner + 1, return_inverse=True)
    first = estimates(of_sample, cell.size, sizes, rate)
    order = np.lexsort((-first.bytes, cell // width))
    number = np.empty(cell.size, np.int64)
    number[order] = np.arange(cell.size)
    return cell[order], estimates(number[of_sample], cell.size, sizes, rate)


def shown_stacks(profile: MemoryProfile, buckets: I64) -> tuple[list[tuple[Frame, ...]], I64]:
    """Return the distinct stacks of buckets as pprof shows them, and for each bucket which it is.

    pprof leaves out the runtime's calls at the leaf end, unless there are no others, and ``runtime.goexit``
    (runtime/pprof/protomem.go, writeHeapProto).
    """
    places: dict[tuple[str, str, int], int] = {}
    frames = [
        places.setdefault((frame.function, frame.file, frame.line), len(places)) for frame in profile.frames
    ]
    place_of = np.array(frames, np.uint32)
    hidden = np.array([frame.hidden for frame in profile.frames], np.bool_)
    exits = np.array([frame.is_exit for frame in profile.frames], np.bool_)
    numbers: dict[bytes, int] = {}
    site_of = np.empty(buckets.size, np.int64)
    stacks: list[tuple[Frame, ...]] = []
    names = [
        Frame(func=function or "?", file=file or None, line=line or None) for function, file, line in places
    ]
    for row, bucket in enumerate(buckets.tolist()):
        stack = profile.stack[profile.first[bucket] : profile.first[bucket + 1]]
        shown = ~hidden[stack]
        stack = stack[int(shown.argmax()) :] if shown.any() else stack
        path = place_of[stack[~exits[stack]]]
        number = numbers.setdefault(path.tobytes(), len(numbers))
        if number == len(stacks):
            stacks.append(tuple(names[place] for place in path.tolist()))
        site_of[row] = number
    return stacks, site_of


def profile_rate(heap: Heap) -> int:
    """Return ``runtime.MemProfileRate``. Raises `MissingData` where nothing is sampled."""
    rate = heap.profile.rate
    if rate is None or rate <= 0:
        facts = profile_facts(heap.profile, None)
        raise MissingData("the process has no memory profile", cause=facts.reason, next_step=facts.next_step)
    return rate


def profile_facts(profile: MemoryProfile, matrix: SiteMatrix | None) -> ProfileFacts:
    """Return whether the process samples its allocations, and if not, why, and how to have it."""
    if matrix is not None:
        return ProfileFacts(
            state=profile.profiling.value,
            rate_bytes=profile.rate,
            live_samples=int(matrix.live.samples.sum()),
            garbage_samples=int(matrix.garbage.samples.sum()),
        )
    state = Profiling.UNKNOWN if profile.profiling is Profiling.ON else profile.profiling
    reason, next_step = _REASONS[state]
    return ProfileFacts(state=state.value, rate_bytes=profile.rate, reason=reason, next_step=next_step)


def profile_caveats(facts: ProfileFacts, matrix: SiteMatrix | None) -> list[str]:
    """Return what a reader of the answer should know of the profile."""
    if facts.reason is not None:
        return [f"allocation sites are unknown: {_IN_SHORT[Profiling(facts.state)]}"]
    if matrix is not None and matrix.lost_samples:
        return [f"sampled objects whose allocation stack is not in the capture: {matrix.lost_samples:,}"]
    return []
