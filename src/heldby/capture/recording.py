"""`Recording`: one capture on its way into a core file: pages first, then the notes that say what it is."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, Final

from heldby.capture.pages import PageCopier
from heldby.capture.processor import Processor
from heldby.capture.procfs import (
    PROC,
    cgroup_memory_files,
    namespace_ids,
    read_machine_uptime,
    read_text,
    status_bytes,
    status_fields,
)
from heldby.capture.program import Program
from heldby.capture.ptrace import Registers
from heldby.capture.resident import (
    count_file_pages,
    count_pages,
    lost_in_forks,
    wiped_in_forks,
    with_counted_pages,
)
from heldby.capture.threads import StoppedThreads
from heldby.memory.core_file import CAPTURE_NOTE_NAME, CAPTURE_NOTE_TYPE, NT_AUXV, MappedFile, Note
from heldby.memory.core_writer import (
    CoreWriter,
    file_note,
    prpsinfo_note,
    prstatus_note,
)
from heldby.memory.image import PAGE_SIZE
from heldby.memory.mappings import Mapping, parse_maps, parse_smaps
from heldby.memory.residency import pack_states
from heldby.progress import Progress

NOTE_VERSION: Final = 1
_MANY_RUNS_PAGES: Final = 17  # a page of content, 16 of nothing: the shortest stretch that costs a segment


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseFacts:
    """What was read while every thread stood still.

    Attributes:
        taken_at: wall clock, ISO 8601 with zone.
        monotonic_ns: CLOCK_MONOTONIC, the clock in which the Go runtime counts how long goroutines wait.
        status, stat, smaps, maps: files of /proc/PID; None where unreadable.
        uptime: /proc/uptime, the machine's clock that `stat` counts in.
        file_pages: resident bytes of file mappings by start address.
        registers: by thread id as the process itself sees it, the main thread first.
        extended_notes: further registers of the same threads as core notes; those in uninterruptible sleep lack them.
        sleeping: threads in uninterruptible sleep, whose registers are known in part or not at all.
    """

    taken_at: str
    monotonic_ns: int
    status: str | None
    stat: str | None
    smaps: str | None
    maps: str
    uptime: str | None
    file_pages: dict[int, int]
    registers: dict[int, Registers]
    extended_notes: dict[int, list[Note]]
    sleeping: Sequence[int] = ()


def read_pause_facts(
    pid: int, taken_at: str, threads: StoppedThreads, inner_ids: dict[int, int]
) -> PauseFacts:
    """Read what must be read in the pause; smaps follows in `complete_facts`."""
    registers, sleeping = threads.registers, threads.sleeping
    extended = threads.processor.extended_notes
    unknown = [tid for tid in registers if tid not in inner_ids]
    ids = inner_ids | (namespace_ids(pid, unknown) if unknown else {})
    ordered = sorted(registers, key=lambda tid: (tid != pid, tid))
    maps = read_text(pid, "maps") or ""
    return PauseFacts(
        taken_at=taken_at,
        monotonic_ns=time.monotonic_ns(),
        status=read_text(pid, "status"),
        stat=read_text(pid, "stat"),
        smaps=None,
        maps=maps,
        uptime=read_machine_uptime(),
        file_pages=count_file_pages(pid, maps),
        registers={ids[tid]: registers[tid] for tid in ordered},
        extended_notes={ids[tid]: extended(tid) for tid in ordered if tid not in sleeping},
        sleeping=tuple(sleeping),
    )


def complete_facts(facts: PauseFacts, source: int, target: int) -> PauseFacts:
    """Return the facts with smaps, read from the stopped process or from its copy.

    What a copy cannot know and was not counted in the pause is counted now, in the running process.
    """
    smaps = read_text(source, "smaps")
    if source == target or smaps is None:
        return replace(facts, smaps=with_counted_pages(smaps, facts.maps, facts.file_pages))
    lost = {mapping.start for mapping in lost_in_forks(facts.maps, smaps)}
    late = count_pages(target, [m for m in parse_maps(facts.maps) if m.start in lost - set(facts.file_pages)])
    return replace(facts, smaps=with_counted_pages(smaps, facts.maps, {**late, **facts.file_pages}))


@dataclass(slots=True)
class Recording:
    """Pages and notes of one capture.

    Attributes:
        captured_bytes: page data written.
        file_bytes: size of the finished file.
    """

    pid: int
    processor: Processor[Any]
    program: Program
    libraries: Sequence[Program]
    fd: int
    captured_bytes: int = 0
    file_bytes: int = 0
    _writer: CoreWriter = field(init=False)
    _note: dict[str, Any] = field(init=False, default_factory=dict)

    def copy(self, source: int, facts: PauseFacts, progress: Progress, guard: Callable[[], None]) -> None:
        """Copy the program and the memory of process `source`, the target or its copy.

        `guard` is asked again and again and may raise to end the copy.

        Raises:
            SourceGone: the source ended meanwhile.
            OSError: the file cannot be written.
        """
        mappings = _forked_mappings(source, facts)
        resident = estimate_pages(facts.status) or 0
        segments = resident // PAGE_SIZE // _MANY_RUNS_PAGES + 4 * len(mappings)
        texts = len(facts.maps) + len(facts.smaps or "") + 65536
        self._writer = CoreWriter(
            self.fd,
            machine=self.processor.name,
            header_room=56 * segments + 4000 * len(facts.registers) + 2 * texts,
        )
        files = (self.program, *self.libraries)
        offsets = [self._writer.embed(file.fd, file.size) for file in files]
        places = {file.path: (offset, file.size) for file, offset in zip(files, offsets, strict=True)}
        with progress.phase("copying memory", resident or None, "bytes") as phase:
            in_memory = {item.mapping.start: item.resident for item in parse_smaps(facts.smaps or "")}
            copier = PageCopier(source, self._writer, places, phase, guard, in_memory)
            try:
                for mapping in mappings:
                    copier.copy(mapping)
            finally:
                copier.close()
        self.captured_bytes = self._writer.page_bytes
        self._note = {
            "executable": {"offset": offsets[0], **self.program.facts()},
            "libraries": [
                {"offset": offset, **file.facts()}
                for file, offset in zip(self.libraries, offsets[1:], strict=True)
            ],
            "zero_ranges": [list(item) for item in copier.zero_ranges],
            "residency": [pack_states(states) for states in copier.states],
            "skipped_bytes": dict(copier.skipped),
            "unreadable_bytes": copier.unreadable_bytes,
            "captured_bytes": self.captured_bytes,
        }

    def finish(self, facts: PauseFacts, heldby: dict[str, Any], started: float) -> float:
        """Write the notes and headers; return the seconds since `started` that the notes record."""
        cgroup = read_text(self.pid, "cgroup")
        seconds = time.monotonic() - started
        note = {
            "version": NOTE_VERSION,
            **heldby,
            "seconds": round(seconds, 6),
            "taken_at": facts.taken_at,
            "monotonic_ns": facts.monotonic_ns,
            "pid": self.pid,
            **self._note,
            "sleeping_threads": list(facts.sleeping),
            "proc": {
                "status": facts.status,
                "stat": facts.stat,
                "smaps": facts.smaps,
                "maps": facts.maps,
                "limits": read_text(self.pid, "limits"),
                "cgroup": cgroup,
                "cgroup_files": cgroup_memory_files(cgroup or ""),
                "uptime": facts.uptime,
            },
        }
        packed = json.dumps(note, separators=(",", ":"), ensure_ascii=True).encode()
        notes = [*self._standard_notes(facts), (CAPTURE_NOTE_TYPE, CAPTURE_NOTE_NAME, packed)]
        self.file_bytes = self._writer.finish(notes)
        return seconds

    def _standard_notes(self, facts: PauseFacts) -> list[Note]:
        fields = status_fields(facts.status or "")
        leader = next(iter(facts.registers), self.pid)
        threads = [
            [
                prstatus_note(self.processor.name, tid, registers.as_dict(), pid=leader),
                *facts.extended_notes.get(tid, []),
            ]
            for tid, registers in facts.registers.items()
        ]
        process = prpsinfo_note(
            pid=leader,
            ppid=_first_number(fields.get("PPid")),
            uid=_first_number(fields.get("Uid")),
            gid=_first_number(fields.get("Gid")),
            name=fields.get("Name", ""),
        )
        mappings = parse_maps(facts.maps)
        files = [MappedFile(m.start, m.end, m.offset, m.path) for m in mappings if not m.is_anonymous]
        first, *others = threads or [[]]
        # As the kernel orders them: a thread's further registers follow its status.
        notes = [*first[:1], process, (NT_AUXV, b"CORE", _auxv(self.pid)), file_note(files), *first[1:]]
        return [*notes, *chain.from_iterable(others)]


def _forked_mappings(source: int, facts: PauseFacts) -> list[Mapping]:
    """Return what `source` can be asked for: a copy lacks what madvise(2) keeps out of forks.

    A mapping with MADV_DONTFORK is not there; one with MADV_WIPEONFORK (``wf``) is there and empty.
    """
    wiped = wiped_in_forks(facts.smaps or "")
    mappings = parse_maps(read_text(source, "maps") or facts.maps)
    return [mapping for mapping in mappings if mapping.start not in wiped]


def estimate_pages(status: str | None) -> int | None:
    """Return about how many bytes of pages a capture reads at most: resident and swapped private ones."""
    fields = status_fields(status or "")
    sizes = [status_bytes(fields, name) for name in ("RssAnon", "VmSwap")]
    return None if sizes[0] is None else sum(size or 0 for size in sizes)


def _first_number(text: str | None) -> int:
    parts = (text or "").split()
    return int(parts[0]) if parts and parts[0].isdigit() else 0


def _auxv(pid: int) -> bytes:
    try:
        return (PROC / str(pid) / "auxv").read_bytes()
    except OSError:
        return b""
