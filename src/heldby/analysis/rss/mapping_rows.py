"""Rows of what no part of the Go runtime claims: the program's own file, C, thread stacks, files, the rest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

import numpy as np

from heldby.analysis.answer import RssPart, RssRow
from heldby.analysis.rss.evidence import U64, Claims, Evidence
from heldby.analysis.rss.runtime_rows import OTHER_ROW
from heldby.errors import NotCaptured
from heldby.golang.runtime.structs import StructRows
from heldby.heap.process import Process
from heldby.memory.core_file import CoreFile
from heldby.memory.mappings import MappedMemory, Mapping

C_ROW: Final = "C heap (malloc)"
THREADS_ROW: Final = "thread stacks"
FILES_ROW: Final = "mapped files"
SHARED_ROW: Final = "shared memory"
LIBRARIES_ROW: Final = "shared libraries"
ANONYMOUS_ROW: Final = "other anonymous memory"
UNDIVIDED_ROW: Final = "anonymous memory"
HEAP_REST_ROW: Final = "heap pages in no list"

_PAGE: Final = 4096
_ARENA: Final = 64 << 20
_SMALLEST_BLOCK: Final = 64 << 10
_MOST_PARTS: Final = 12
_MOST_SCANNED: Final = 1 << 32
_SHARED: Final = ("/dev/shm/", "/memfd:", "/SYSV", "/dev/zero", "[anon_shmem")  # noqa: S108, no file is made
_GO_NAMES: Final = "[anon: Go: "


@dataclass(frozen=True, slots=True)
class _Facts:
    group: str
    note: str | None
    source: str
    remedy: str


_FACTS: Final = {
    UNDIVIDED_ROW: _Facts(
        "heap",
        "the Go heap, its runtime and what C maps, not divided",
        "smaps",
        "heldby rss PID divides it",
    ),
    "program text": _Facts(
        "program", "the file's pages, shared with the page cache", "smaps", "the kernel drops what is not run"
    ),
    "program rodata": _Facts(
        "program", "types, tables, constants", "smaps", "the kernel drops what is not read"
    ),
    "program data and bss": _Facts(
        "program", "global variables", "smaps and pages", "only by another program"
    ),
    C_ROW: _Facts(
        "outside",
        "malloc in C, through cgo; no Go profile shows it",
        "smaps, and glibc's own headers",
        "by free; malloc_trim returns what glibc keeps",
    ),
    THREADS_ROW: _Facts(
        "outside", "of the operating system's threads", "thread registers", "with their threads"
    ),
    FILES_ROW: _Facts("outside", "pages of the page cache", "smaps", "the kernel drops them under pressure"),
    SHARED_ROW: _Facts("outside", "shared with other processes or with itself", "smaps", "by unmapping it"),
    LIBRARIES_ROW: _Facts(
        "outside", "shared with the page cache", "smaps", "the kernel drops what is not used"
    ),
    ANONYMOUS_ROW: _Facts(
        "outside",
        "mapped by the program or by C; no Go profile shows it",
        "smaps",
        "by munmap in whoever maps it",
    ),
    OTHER_ROW: _Facts("runtime", None, "the runtime's counters", "the runtime never gives it back"),
}


class MappingRows:
    """Sorts the unclaimed memory of every mapping into rows.

    Args:
        core: for registers and bytes.
        process: the program; None where it is unknown.
        evidence: what is resident.
        claims: addresses that have a row.
        runtime_budget: bytes that the runtime says it took for structures and that no row has; as much of
            the anonymous memory that lies beside its structures is taken for its own.
    """

    def __init__(
        self,
        core: CoreFile,
        process: Process | None,
        evidence: Evidence,
        claims: Claims,
        runtime_budget: int,
    ) -> None:
        self._core = core
        self._process = process
        self._evidence = evidence
        self._claims = claims
        self._budget = runtime_budget
        self._sizes: dict[str, list[tuple[str, int, int, int]]] = defaultdict(list)
        self._program = _program_ranges(process)
        self._program_path = _program_path(core, process)
        self._libraries = {
            item.mapping.path
            for item in evidence.memory
            if "x" in item.mapping.perms and not item.mapping.is_anonymous
        }

    def rows(self) -> list[RssRow]:
        """Return the rows, each with its largest mappings as parts."""
        for item in self._evidence.memory:
            self._sort(item)
        return [self._row(name) for name in _FACTS if name in self._sizes]

    def _row(self, name: str) -> RssRow:
        facts, items = _FACTS[name], self._sizes[name]
        named: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for label, size, _, _ in items:
            named[label][0] += size
            named[label][1] += 1
        parts = [RssPart(name=label, bytes=size, count=count) for label, (size, count) in named.items()]
        parts.sort(key=lambda part: -part.bytes)
        return RssRow(
            name=name,
            bytes=sum(size for _, size, _, _ in items),
            note=facts.note,
            virtual_bytes=sum(virtual for _, _, virtual, _ in items),
            swapped_bytes=sum(swapped for _, _, _, swapped in items) or None,
            group=facts.group,
            source=facts.source,
            remedy=facts.remedy,
            parts=tuple(parts[:_MOST_PARTS]) if len(parts) > 1 or name == FILES_ROW else (),
        )

    def _add(self, name: str, label: str, resident: int, virtual: int, swapped: int = 0) -> None:
        if resident or swapped or virtual:
            self._sizes[name].append((label, resident, virtual, swapped))

    def _sort(self, item: MappedMemory) -> None:
        mapping = item.mapping
        if not mapping.is_anonymous:
            name = self._file_row(mapping)
            self._add(name, _label(mapping, name), item.resident, mapping.size, item.sizes.get("Swap", 0))
            return
        starts, ends = self._claims.within(mapping.start, mapping.end)
        claimed = self._evidence.resident(starts, ends) or 0
        rest = max(0, item.resident - claimed)
        swapped = max(0, item.sizes.get("Swap", 0) - (self._evidence.in_swap(starts, ends) or 0))
        virtual = mapping.size - int((ends - starts).sum()) if "r" in mapping.perms else 0
        program = self._program_part(mapping)
        if program:
            self._add("program data and bss", "bss", min(program, rest), min(program, virtual), swapped)
            rest, virtual = rest - min(program, rest), virtual - min(program, virtual)
        if not rest and not swapped:
            return
        self._sort_anonymous(mapping, rest, virtual, swapped, beside_go=bool(starts.size))

    def _program_part(self, mapping: Mapping) -> int:
        """Return the resident bytes of the program's bss in an anonymous mapping."""
        total = 0
        for start, end in self._program:
            low, high = max(start, mapping.start), min(-(-end // _PAGE) * _PAGE, mapping.end)
            if low < high:
                found = self._evidence.resident(np.array([low], np.uint64), np.array([high], np.uint64))
                total += found if found is not None else 0
        return total

    def _file_row(self, mapping: Mapping) -> str:
        path = mapping.path
        if path == self._program_path:
            kinds = {"r-x": "program text", "r--": "program rodata"}
            return kinds.get(mapping.perms[:3], "program data and bss")
        if path.startswith(_SHARED):
            return SHARED_ROW
        library = path in self._libraries or ".so" in PurePath(path).suffixes
        return LIBRARIES_ROW if library else FILES_ROW

    def _sort_anonymous(
        self, mapping: Mapping, rest: int, virtual: int, swapped: int, *, beside_go: bool
    ) -> None:
        path = mapping.path
        undivided = self._evidence.pages is None and beside_go
        unread = self._process is None and (not path or path.startswith(_GO_NAMES))
        if undivided or unread:
            self._add(UNDIVIDED_ROW, path or "without a name", rest, mapping.size, swapped)
        elif path.startswith(_GO_NAMES):
            self._add(OTHER_ROW, path[len(_GO_NAMES) : -1], rest, virtual, swapped)
        elif path == "[heap]" or self._is_arena(mapping):
            label = "brk" if path == "[heap]" else "arenas of threads"
            self._add(C_ROW, label, rest, virtual, swapped)
        elif path == "[stack]":
            self._add(THREADS_ROW, "of the main thread", rest, virtual, swapped)
        elif path.startswith("[v"):
            self._add("program text", path, rest, virtual, swapped)
        elif "stack" in path or self._is_thread_stack(mapping):
            self._add(THREADS_ROW, "of other threads", rest, virtual, swapped)
        else:
            blocks = min(rest, self._malloc_blocks(mapping))
            if blocks:
                self._add(C_ROW, "large blocks", blocks, blocks)
            rest -= blocks
            if beside_go and self._budget and not path:
                own = min(rest, self._budget)
                self._budget -= own
                self._add(OTHER_ROW, "beside its structures", own, 0)
                rest -= own
            if rest or swapped:
                self._add(ANONYMOUS_ROW, path or "without a name", rest, max(virtual - blocks, rest), swapped)

    def _is_thread_stack(self, mapping: Mapping) -> bool:
        """Tell whether a thread other than the first has its control block there: C libraries put it on top.

        The block begins with its own address (glibc and musl on amd64); what Go's threads point to does not.
        """
        image = self._core.image
        for thread in self._core.threads[1:]:
            base = thread.registers.get("fs_base", 0)
            if mapping.start <= base < mapping.end and base in image:
                try:
                    if image.u64(base) == base:
                        return True
                except NotCaptured:
                    continue
        return False

    def _is_arena(self, mapping: Mapping) -> bool:
        """Tell whether the mapping is a heap of a malloc arena (glibc, malloc/arena.c, struct _heap_info)."""
        if mapping.start % _ARENA or mapping.size > _ARENA:
            return False
        try:
            arena, before, size, writable = self._core.image.unpack("<QQQQ", mapping.start)
        except NotCaptured:
            return False
        first = before == 0 and mapping.start < arena < mapping.start + _PAGE
        return (first or (before != 0 and before % _ARENA == 0)) and mapping.size in (size, writable)

    def _malloc_blocks(self, mapping: Mapping) -> int:
        """Return the resident bytes of blocks that glibc's malloc mapped one by one, outside what is claimed.

        Each begins with a page whose second word is its size in pages and the flag IS_MMAPPED.
        """
        if self._process is None or mapping.size > _MOST_SCANNED:
            return 0
        starts, ends = self._claims.gaps(mapping.start, mapping.end)
        total = 0
        for low, high in zip(starts.tolist(), ends.tolist(), strict=True):
            total += sum(self._blocks_between(-(-low // _PAGE) * _PAGE, high))
        return total

    def _blocks_between(self, low: int, high: int) -> Iterator[int]:
        if self._process is None or high - low < _SMALLEST_BLOCK:
            return
        runtime = self._process.runtime
        pages = np.arange(low, high, _PAGE, dtype=np.uint64)
        rows = [
            StructRows(runtime.pages, runtime.layout, "runtime.funcval", pages + np.uint64(8 * i)).raw(0, 8)
            for i in range(2)
        ]
        size = rows[1] & ~np.uint64(7)
        sound = (rows[0] == 0) & ((rows[1] & np.uint64(7)) == 2) & (size % _PAGE == 0)
        sound &= (size >= _SMALLEST_BLOCK) & (size <= high - low)
        end = low
        for at in np.flatnonzero(sound).tolist():
            start, stop = int(pages[at]), int(pages[at]) + int(size[at])
            if start >= end and stop <= high:
                yield self._evidence.resident(np.array([start], np.uint64), np.array([stop], np.uint64)) or 0
                end = stop


def claim_arenas(claims: Claims, starts: U64, ends: U64, evidence: Evidence) -> RssRow:
    """Claim what of the heap's arenas has no row yet; it should hold nothing that is resident."""
    parts = [claims.gaps(low, high) for low, high in zip(starts.tolist(), ends.tolist(), strict=True)]
    low = np.concatenate([np.zeros(0, np.uint64), *(part[0] for part in parts)])
    high = np.concatenate([np.zeros(0, np.uint64), *(part[1] for part in parts)])
    claims.add(starts, ends)
    return RssRow(
        name=HEAP_REST_ROW,
        bytes=evidence.resident(low, high),
        note="in the heap's address space, in no span and not free",
        virtual_bytes=int((high - low).sum()),
        group="heap",
        source="arenas, by page",
    )


def _label(mapping: Mapping, row: str) -> str:
    if row.startswith("program"):
        return row
    return mapping.path


def _program_ranges(process: Process | None) -> list[tuple[int, int]]:
    """Return where the program and the Go libraries and plugins are mapped, their bss included."""
    return [] if process is None else [place for each in process.programs for place in each.ranges]


def _program_path(core: CoreFile, process: Process | None) -> str | None:
    note = core.note if core.note is not None else {}
    executable = note.get("executable")
    path = executable.get("path") if isinstance(executable, dict) else None
    if isinstance(path, str):
        return path
    return process.executable.name if process is not None else None


def total(rows: Iterable[RssRow]) -> int:
    """Return the resident bytes of all rows that know them."""
    return sum(row.bytes or 0 for row in rows)
