"""What a core says of residency, and `Claims`: which addresses have a row already."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heldby.memory.core_file import CoreFile
from heldby.memory.mappings import MappedMemory, parse_smaps
from heldby.memory.residency import Residency, unpack_states

U64 = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Evidence:
    """The resident set as the kernel told it at the pause.

    Attributes:
        memory: all mappings with their sizes; empty for a foreign core.
        pages: resident pages of anonymous memory; None when the core does not say.
        swapped: pages in swap; None when there are none or the core does not say.
        proc: the texts of /proc that travelled along, by name.
    """

    memory: tuple[MappedMemory, ...]
    pages: Residency | None
    swapped: Residency | None
    proc: dict[str, Any]

    @property
    def total(self) -> int | None:
        """RSS: the sum over smaps, which is exact; VmRSS counts in batches and lags behind."""
        return sum(item.resident for item in self.memory) if self.memory else None

    @property
    def rss(self) -> int | None:
        """The total, or what status says where smaps was not readable."""
        return self.total if self.total is not None else status_bytes(self.proc.get("status"), "VmRSS")

    def resident(self, starts: U64, ends: U64) -> int | None:
        """Return the resident bytes of ranges that do not overlap; None when unknown."""
        return None if self.pages is None else self.pages.total(starts, ends)

    def in_swap(self, starts: U64, ends: U64) -> int | None:
        """Return the swapped bytes of ranges that do not overlap; None when there are none or it is unknown."""
        return None if self.swapped is None else self.swapped.total(starts, ends)


def read_evidence(core: CoreFile) -> Evidence:
    """Return what the core's note says; little or nothing for a core that another tool wrote."""
    note = core.note if core.note is not None else {}
    proc = note.get("proc")
    texts = proc if isinstance(proc, dict) else {}
    smaps = texts.get("smaps")
    memory = tuple(parse_smaps(smaps)) if isinstance(smaps, str) else ()
    states = unpack_states(note.get("residency"))
    known = bool(memory) and isinstance(note.get("residency"), list)
    swapped = [(item.start, item.swapped) for item in states if item.swapped.any()]
    return Evidence(
        memory,
        Residency.of([(item.start, item.resident) for item in states]) if known else None,
        Residency.of(swapped) if swapped else None,
        texts,
    )


def status_bytes(status: object, name: str) -> int | None:
    """Return a size of /proc/PID/status such as VmRSS in bytes; None when it is not there."""
    for line in status.splitlines() if isinstance(status, str) else ():
        key, _, value = line.partition(":")
        words = value.split()
        if key == name and len(words) == 2 and words[0].isdecimal() and len(words[0]) < 16:
            return int(words[0]) * 1024
    return None


@dataclass(slots=True)
class Claims:
    """Address ranges that belong to a row, joined: ascending, without overlaps."""

    starts: U64 = field(default_factory=lambda: np.zeros(0, np.uint64))
    ends: U64 = field(default_factory=lambda: np.zeros(0, np.uint64))

    def add(self, starts: U64, ends: U64) -> None:
        """Add ranges; they may overlap each other and what is claimed."""
        low, high = np.concatenate((self.starts, starts)), np.concatenate((self.ends, ends))
        real = low < high
        low, high = low[real], high[real]
        if not low.size:
            return
        order = np.argsort(low, kind="stable")
        low, high = low[order], np.maximum.accumulate(high[order])
        first = np.append(True, low[1:] > high[:-1])
        last = np.append(first[1:], True)
        self.starts, self.ends = low[first], high[last]

    def within(self, low: int, high: int) -> tuple[U64, U64]:
        """Return what is claimed of ``[low, high)``."""
        first = int(np.searchsorted(self.ends, np.uint64(low), side="right"))
        last = int(np.searchsorted(self.starts, np.uint64(high), side="left"))
        starts, ends = self.starts[first:last], self.ends[first:last]
        return np.maximum(starts, np.uint64(low)), np.minimum(ends, np.uint64(high))

    def gaps(self, low: int, high: int) -> tuple[U64, U64]:
        """Return what is not claimed of ``[low, high)``."""
        starts, ends = self.within(low, high)
        edges_low = np.concatenate((np.array([low], np.uint64), ends))
        edges_high = np.concatenate((starts, np.array([high], np.uint64)))
        real = edges_low < edges_high
        return edges_low[real], edges_high[real]
