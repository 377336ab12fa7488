"""Which pages of an anonymous mapping count as resident: pagemap, corrected for pages of shared zeros.

Memory that was read before it was ever written shows the kernel's one page of zeros: present in pagemap, but
no part of RSS (mm/memory.c, do_anonymous_page; fs/proc/task_mmu.c counts by vm_normal_page). Linux 6.7 and
later name such pages (PAGEMAP_SCAN). What that does not tell, older kernels and huge pages of zeros, is told by
smaps: it counts fewer pages than are present, and the surplus are pages whose content is zero.
"""

from __future__ import annotations

import fcntl
import struct
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.memory.image import PAGE_SIZE
from heldby.memory.mappings import Mapping
from heldby.memory.residency import PageStates

_PRESENT: Final = np.uint64(1 << 63)
_SWAPPED: Final = np.uint64(1 << 62)
_HUGE_PAGE: Final = 1 << 21
# include/uapi/linux/fs.h: struct pm_scan_arg, struct page_region.
_PAGEMAP_SCAN: Final = 0xC0606610
_IS_PFNZERO: Final = 1 << 5
_REGIONS: Final = 512


class PageStateRecorder:
    """Collects the states of one mapping while it is copied.

    Args:
        pagemap: descriptor of /proc/PID/pagemap.
        mapping: the mapping.
    """

    def __init__(self, pagemap: int, mapping: Mapping) -> None:
        self._pagemap = pagemap
        self._mapping = mapping
        self._stretches: list[tuple[int, NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]] = []

    def add(self, addr: int, entries: NDArray[np.uint64], filled: NDArray[np.bool_]) -> None:
        """Note the pagemap entries of the pages from `addr` on, and which of them have content."""
        present, swapped = (entries & _PRESENT) != 0, (entries & _SWAPPED) != 0
        if present.any() or swapped.any():
            self._stretches.append((addr, present, swapped, present & ~filled))

    def finish(self, resident_bytes: int | None) -> Iterator[PageStates]:
        """Yield the states, corrected to what smaps counts in the mapping, if that is known."""
        counted = sum(int(np.count_nonzero(present)) for _, present, _, _ in self._stretches)
        surplus = 0 if resident_bytes is None else counted - resident_bytes // PAGE_SIZE
        if surplus > 0:
            surplus -= self._drop_named_zeros(surplus)
        if surplus > 0:
            self._drop_empty_pages(surplus)
        for addr, present, swapped, _ in self._stretches:
            yield PageStates(start=addr, resident=present, swapped=swapped)

    def _drop_named_zeros(self, surplus: int) -> int:
        dropped = 0
        for low, high in _zero_regions(self._pagemap, self._mapping.start, self._mapping.end):
            for addr, present, _, empty in self._stretches:
                first = max(0, (low - addr) // PAGE_SIZE)
                last = min(present.size, (high - addr) // PAGE_SIZE)
                if first < last:
                    dropped += int(np.count_nonzero(present[first:last]))
                    present[first:last] = empty[first:last] = False
        return min(dropped, surplus)

    def _drop_empty_pages(self, surplus: int) -> None:
        """Drop as many pages without content: first whole huge ones, then the others in address order."""
        for whole in (True, False):
            for addr, present, _, empty in self._stretches:
                if surplus <= 0:
                    return
                chosen = np.flatnonzero(_huge_runs(addr, empty) if whole else empty)[:surplus]
                present[chosen] = empty[chosen] = False
                surplus -= chosen.size


def _huge_runs(addr: int, empty: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which pages lie in aligned stretches of 2 MiB without any content."""
    pages = _HUGE_PAGE // PAGE_SIZE
    lead = -(addr // PAGE_SIZE) % pages
    count = max(0, empty.size - lead) // pages
    out = np.zeros(empty.size, np.bool_)
    whole = empty[lead : lead + count * pages].reshape(count, pages).all(axis=1)
    out[lead : lead + count * pages] = np.repeat(whole, pages)
    return out


def _zero_regions(pagemap: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the ranges that show the page of zeros; nothing on a kernel that cannot tell."""
    regions = bytearray(24 * _REGIONS)
    vector = np.frombuffer(regions, np.uint64)
    while start < end:
        arguments = bytearray(
            struct.pack(
                "<12Q",
                *(96, 0, start, end, 0, vector.ctypes.data, _REGIONS, 0),
                *(0, _IS_PFNZERO, 0, _IS_PFNZERO),
            )
        )
        try:
            found = fcntl.ioctl(pagemap, _PAGEMAP_SCAN, arguments)
        except OSError:
            return
        yield from vector[: 3 * found].reshape(-1, 3)[:, :2].tolist()
        walked = struct.unpack_from("<Q", arguments, 32)[0]
        if walked <= start:
            return
        start = walked
