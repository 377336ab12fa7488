"""Copying what is needed and resident: which pages of a process go into the core, and in what form.

Private anonymous memory travels page by page, without pages that are not there or all zero. Of the program's
own file, and of libraries in Go, only the pages that the process changed travel; the others are the embedded
file's. Of other files writable private mappings travel; read-only and shared ones are counted and left out.
"""

from __future__ import annotations

import mmap
import os
from collections import Counter
from collections.abc import Callable, Iterator
from collections.abc import Mapping as Values
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.capture.page_states import PageStateRecorder
from heldby.memory.core_writer import CoreWriter
from heldby.memory.image import PAGE_SIZE
from heldby.memory.mappings import Mapping
from heldby.memory.residency import PageStates
from heldby.progress import Phase

_WINDOW_PAGES: Final = 256
_PAGEMAP_PAGES: Final = 1 << 18
# A program header costs 56 bytes and every reader time; a hole of 15 pages costs nothing on disk.
_GAP_BYTES: Final = 15 * PAGE_SIZE
_WHOLE_FILE_LIMIT: Final = 64 << 20
# /proc/PID/pagemap, Documentation/admin-guide/mm/pagemap.rst.
_PRESENT_OR_SWAPPED: Final = np.uint64(3 << 62)
_FILE_OR_SHARED: Final = np.uint64(1 << 61)
# MADV_GUARD_INSTALL, shown since Linux 6.15: such a page looks swapped and cannot be read.
_GUARD: Final = np.uint64(1 << 58)


class SourceGone(Exception):
    """The process that is read has no memory any more: it ended or was killed."""


class PageCopier:
    """Copies the memory of one stopped process into a core.

    `guard` is asked before each window of a mebibyte and may raise to end the copy.

    Args:
        pid: the process to read, the target itself or its copy.
        writer: where to.
        programs: offset and size in the core of the program and the libraries that travel, by path as
            /proc/PID/maps has it.
        phase: advanced by the bytes read.
        resident: what smaps says each mapping has in memory, bytes by start address.

    Attributes:
        states: which pages of anonymous memory are resident and which are in swap.
        zero_ranges: anonymous mappings: what of them is in no segment is zero.
        skipped: bytes of address space left out, by reason.
        unreadable_bytes: pages that should be there and could not be read.
    """

    def __init__(
        self,
        pid: int,
        writer: CoreWriter,
        programs: Values[str, tuple[int, int]],
        phase: Phase,
        guard: Callable[[], None],
        resident: Values[int, int] | None = None,
    ) -> None:
        self._writer = writer
        self._programs = programs
        self._phase = phase
        self._guard = guard
        self._memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
        self._pagemap = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        buffer = mmap.mmap(-1, _WINDOW_PAGES * PAGE_SIZE)
        self._window = memoryview(buffer)
        self._pages = np.frombuffer(buffer, np.uint64).reshape(_WINDOW_PAGES, PAGE_SIZE // 8)
        self._resident = resident or {}
        self.states: list[PageStates] = []
        self.zero_ranges: list[tuple[int, int]] = []
        self.skipped: Counter[str] = Counter()
        self.unreadable_bytes = 0
        # Where zeros may be taken for granted: from here on, in the anonymous mapping that is being copied.
        self._zeros_from: int | None = None

    def close(self) -> None:
        """Close the files of /proc."""
        os.close(self._memory)
        os.close(self._pagemap)

    def copy(self, mapping: Mapping) -> None:
        """Copy what must travel of one mapping. Raises `SourceGone`, or `OSError` from writing."""
        if "r" not in mapping.perms:
            self.skipped["no access"] += mapping.size
        elif mapping.path in ("[vvar]", "[vvar_vclock]", "[vsyscall]"):
            self.skipped["kernel"] += mapping.size
        elif not mapping.is_private:
            self.skipped["shared"] += mapping.size
        elif mapping.is_anonymous:
            self._copy_anonymous(mapping)
        elif mapping.path in self._programs:
            self._copy_program(mapping, *self._programs[mapping.path])
        else:
            self._copy_file(mapping)

    def _copy_anonymous(self, mapping: Mapping) -> None:
        bad_before = self.unreadable_bytes
        self._zeros_from = mapping.start
        states = PageStateRecorder(self._pagemap, mapping)
        for addr, entries in self._page_entries(mapping):
            filled = self._copy_pages(addr, (entries & _PRESENT_OR_SWAPPED) != 0, mapping.flags)
            states.add(addr, entries, filled)
        self.states.extend(states.finish(self._resident.get(mapping.start)))
        if self.unreadable_bytes == bad_before:
            self.zero_ranges.append((mapping.start, mapping.end))
        self._zeros_from = None

    def _copy_program(self, mapping: Mapping, offset: int, size: int) -> None:
        available = max(0, min(mapping.size, -(-size // PAGE_SIZE) * PAGE_SIZE - mapping.offset))
        if "x" in mapping.perms:
            # Code changes only by breakpoints and by our own stub: the file is the truth.
            self._refer(mapping, 0, available, offset)
            return
        for addr, entries in self._page_entries(mapping):
            changed = ((entries & _PRESENT_OR_SWAPPED) != 0) & ((entries & _FILE_OR_SHARED) == 0)
            self._copy_pages(addr, changed, mapping.flags)
            for first, last in runs(~changed):
                begin = addr - mapping.start + first * PAGE_SIZE
                end = min(addr - mapping.start + last * PAGE_SIZE, available)
                self._refer(mapping, begin, end, offset)

    def _refer(self, mapping: Mapping, begin: int, end: int, offset: int) -> None:
        if begin < end:
            place = offset + mapping.offset + begin
            self._writer.refer(mapping.start + begin, end - begin, place, mapping.flags)

    def _copy_file(self, mapping: Mapping) -> None:
        whole = "w" in mapping.perms and mapping.size <= _WHOLE_FILE_LIMIT
        for addr, entries in self._page_entries(mapping):
            wanted = np.ones(len(entries), np.bool_)
            if not whole:
                wanted = ((entries & _PRESENT_OR_SWAPPED) != 0) & ((entries & _FILE_OR_SHARED) == 0)
                self.skipped["files"] += int(len(wanted) - np.count_nonzero(wanted)) * PAGE_SIZE
            self._copy_pages(addr, wanted, mapping.flags)

    def _page_entries(self, mapping: Mapping) -> Iterator[tuple[int, NDArray[np.uint64]]]:
        """Yield ``(addr, pagemap entries)`` of up to a gigabyte of address space at a time."""
        addr = mapping.start
        while addr < mapping.end:
            count = min(_PAGEMAP_PAGES, (mapping.end - addr) // PAGE_SIZE)
            data = os.pread(self._pagemap, 8 * count, addr // PAGE_SIZE * 8)
            if len(data) < 8:
                raise SourceGone
            entries = np.frombuffer(data[: len(data) // 8 * 8], np.uint64)
            yield addr, np.where(entries & _GUARD, np.uint64(0), entries)
            addr += len(entries) * PAGE_SIZE

    def _copy_pages(self, addr: int, wanted: NDArray[np.bool_], flags: int) -> NDArray[np.bool_]:
        """Copy the wanted pages from `addr` on; return which have content (all, where zeros travel too)."""
        filled = np.zeros(len(wanted), np.bool_)
        pages = np.flatnonzero(wanted)
        while pages.size:
            first = int(pages[0])
            inside = int(np.searchsorted(pages, first + _WINDOW_PAGES))
            selected = np.zeros(_WINDOW_PAGES, np.bool_)
            selected[pages[:inside] - first] = True
            pages = pages[inside:]
            self._copy_window(addr + first * PAGE_SIZE, selected, flags)
            filled[first : first + _WINDOW_PAGES] = selected[: len(wanted) - first]
        return filled

    def _copy_window(self, addr: int, selected: NDArray[np.bool_], flags: int) -> None:
        """Read the selected pages of a window that fits the processor's cache; write those with content."""
        self._guard()
        for first, last in runs(selected):
            self._read(addr, first, last, selected)
        self._phase.advance(int(np.count_nonzero(selected)) * PAGE_SIZE)
        if self._zeros_from is not None:
            # Eight words of each page tell nearly always; only pages that look empty are read in full.
            suspects = np.flatnonzero(selected & ~self._pages[:, ::64].any(axis=1))
            selected[suspects] = self._pages[suspects].any(axis=1)
        for first, last in runs(selected):
            begin = addr + first * PAGE_SIZE
            gap = 0 if self._zeros_from is None else min(_GAP_BYTES, begin - self._zeros_from)
            data = self._window[first * PAGE_SIZE : last * PAGE_SIZE]
            self._writer.append(begin, data, flags, gap_bytes=gap)

    def _read(self, addr: int, first: int, last: int, selected: NDArray[np.bool_]) -> None:
        while first < last:
            place = self._window[first * PAGE_SIZE : last * PAGE_SIZE]
            try:
                size = os.preadv(self._memory, [place], addr + first * PAGE_SIZE)
            except OSError:
                # A page the kernel cannot give (hardware poison, a device): skip it, keep the rest.
                selected[first] = False
                self.unreadable_bytes += PAGE_SIZE
                first += 1
                if self._zeros_from is not None:
                    self._zeros_from = addr + first * PAGE_SIZE
                continue
            if size == 0:
                raise SourceGone
            first += size // PAGE_SIZE


def runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return ``[first, last)`` of each stretch of true values."""
    if flags.all():
        return [(0, len(flags))] if len(flags) else []
    padded = np.zeros(len(flags) + 2, np.bool_)
    padded[1:-1] = flags
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
