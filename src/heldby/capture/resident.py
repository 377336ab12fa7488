"""What is resident by mapping, as it was at the pause, without walking the page tables in the pause.

/proc/PID/smaps costs a page-table walk, 35 ms per GiB: more than the fork. The copy's smaps says the same of
all anonymous memory, and can be read when the service runs again. What a fork does not copy are the pages of
files that were never written to, and what madvise(2) keeps out of forks: those are counted from pagemap, in
the pause where they are few, otherwise just after it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np

from heldby.memory.image import PAGE_SIZE
from heldby.memory.mappings import Mapping, parse_maps, parse_smaps

_PRESENT: Final = np.uint64(1 << 63)
_MOST_BYTES: Final = 512 << 20
_MOST_TEXT: Final = 1 << 20
_AT_ONCE: Final = 1 << 18
_HEADER: Final = re.compile(r"([0-9a-f]+)-[0-9a-f]+ ")


def count_file_pages(pid: int, maps: str) -> dict[int, int]:
    """Return the resident bytes of each mapping of a file by its start; 8 ms per GiB of resident file.

    Empty when the mapped files are so large, or the mappings so many, that counting would prolong the pause.
    """
    if len(maps) > _MOST_TEXT:
        return {}
    files = [mapping for mapping in parse_maps(maps) if not mapping.is_anonymous]
    return {} if sum(mapping.size for mapping in files) > _MOST_BYTES else count_pages(pid, files)


def count_pages(pid: int, mappings: Iterable[Mapping]) -> dict[int, int]:
    """Return the resident bytes of each mapping by its start, without those that cannot be looked at."""
    found: dict[int, int] = {}
    try:
        pagemap = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return found
    try:
        for mapping in mappings:
            try:
                found[mapping.start] = sum(_present_pages(pagemap, mapping)) * PAGE_SIZE
            except OSError:
                continue  # a device
    finally:
        os.close(pagemap)
    return found


def _present_pages(pagemap: int, mapping: Mapping) -> Iterator[int]:
    for addr in range(mapping.start, mapping.end, _AT_ONCE * PAGE_SIZE):
        size = min(_AT_ONCE, (mapping.end - addr) // PAGE_SIZE) * 8
        data = os.pread(pagemap, size, addr // PAGE_SIZE * 8)
        yield int(np.count_nonzero(np.frombuffer(data[: len(data) // 8 * 8], np.uint64) & _PRESENT))


def wiped_in_forks(smaps: str) -> set[int]:
    """Return the starts of the mappings that a fork gets empty (MADV_WIPEONFORK, shown as ``wf``)."""
    wiped: set[int] = set()
    start = 0
    for line in smaps.splitlines():
        if header := _HEADER.match(line):
            start = int(header[1], 16)
        elif line.startswith("VmFlags:") and " wf" in line:
            wiped.add(start)
    return wiped


def lost_in_forks(maps: str, smaps: str) -> list[Mapping]:
    """Return the mappings whose pages a copy's `smaps` does not tell: of files, and kept out of forks."""
    known = {item.mapping.start for item in parse_smaps(smaps)}
    wiped = wiped_in_forks(smaps)
    return [m for m in parse_maps(maps) if not m.is_anonymous or m.start in wiped or m.start not in known]


def with_counted_pages(smaps: str | None, maps: str, resident: dict[int, int]) -> str | None:
    """Return a copy's smaps with ``Rss`` as it was counted; mappings that the copy lacks come last."""
    if smaps is None or not resident:
        return smaps
    lines = smaps.rstrip("\n").split("\n")
    counted: int | None = None
    met: set[int] = set()
    for index, line in enumerate(lines):
        if line.startswith("Rss:"):
            if counted is not None:
                lines[index] = _rss_line(counted)
        elif header := _HEADER.match(line):
            start = int(header[1], 16)
            met.add(start)
            counted = resident.get(start)
    for line in maps.splitlines():
        header = _HEADER.match(line)
        if header and (start := int(header[1], 16)) not in met and start in resident:
            lines += [line, _rss_line(resident[start])]
    return "\n".join(lines) + "\n"


def _rss_line(size: int) -> str:
    return f"Rss:            {size // 1024:8d} kB"
