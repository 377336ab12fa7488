"""What is resident by mapping, as it was at the pause, without walking the page tables in the pause.

/proc/PID/smaps costs a page-table walk, 35 ms per GiB: more than the fork. The copy's smaps says the same of
all anonymous memory, and can be read when the service runs again. What a fork does not copy are the pages of
files that were never written to: those few are counted in the pause, from pagemap.
"""

from __future__ import annotations

import os
from typing import Final

import numpy as np

from heldby.capture.procfs import parse_maps
from heldby.memory.image import PAGE_SIZE

_PRESENT: Final = np.uint64(1 << 63)
_MOST_BYTES: Final = 512 << 20
_MOST_TEXT: Final = 1 << 20


def count_file_pages(pid: int, maps: str) -> dict[int, int]:
    """Return the resident bytes of each mapping of a file by its start; 8 ms per GiB of resident file.

    Empty when the mapped files are so large, or the mappings so many, that counting would prolong the pause.
    """
    if len(maps) > _MOST_TEXT:
        return {}
    files = [mapping for mapping in parse_maps(maps) if not mapping.is_anonymous]
    if sum(mapping.size for mapping in files) > _MOST_BYTES:
        return {}
    found = {}
    try:
        pagemap = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return {}
    try:
        for mapping in files:
            data = os.pread(pagemap, mapping.size // PAGE_SIZE * 8, mapping.start // PAGE_SIZE * 8)
            entries = np.frombuffer(data[: len(data) // 8 * 8], np.uint64)
            found[mapping.start] = int(np.count_nonzero(entries & _PRESENT)) * PAGE_SIZE
    except OSError:
        pass  # a device that is mapped; what was counted stays
    finally:
        os.close(pagemap)
    return found


def with_file_pages(smaps: str | None, resident: dict[int, int]) -> str | None:
    """Return a copy's smaps with the ``Rss`` of file mappings as counted in the pause."""
    if smaps is None or not resident:
        return smaps
    lines = smaps.split("\n")
    counted: int | None = None
    for index, line in enumerate(lines):
        if line.startswith("Rss:"):
            if counted is not None:
                lines[index] = f"Rss:            {counted // 1024:8d} kB"
        elif line[:1] in "0123456789abcdef" and "-" in line.split(" ", 1)[0]:
            counted = resident.get(int(line.split("-", 1)[0], 16))
    return "\n".join(lines)
