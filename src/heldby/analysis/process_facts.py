"""Which process a core shows and how its bytes were taken; any part of a note may be damaged or missing."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from heldby.analysis.answer import CaptureFacts, ProcessFacts
from heldby.analysis.rss.evidence import read_evidence
from heldby.heap.process import Process
from heldby.memory.core_file import CoreFile


def capture_facts(core: CoreFile) -> CaptureFacts:
    """Return how the bytes were taken; most is unknown for a core that another tool wrote."""
    note = core.note
    if note is None:
        return CaptureFacts(method="core")
    pause, seconds, captured = (_number(note.get(key)) for key in ("pause_ns", "seconds", "captured_bytes"))
    return CaptureFacts(
        method=str(note.get("method", "core")),
        pause_ms=round(pause / 1e6, 3) if pause is not None else None,
        seconds=seconds,
        captured_bytes=int(captured) if captured is not None else None,
        time=_timestamp(note.get("taken_at")),
    )


def process_facts(
    core: CoreFile, process: Process | None = None, goroutines: int | None = None
) -> ProcessFacts:
    """Return which process it was; without `process`, its program and runtime are unknown."""
    note: dict[str, Any] = core.note or {}
    executable = None if process is None else process.executable
    path = _part(note, "executable").get("path")
    if not isinstance(path, str) or not path:
        path = None if executable is None else executable.name
    pid = _number(note.get("pid"))
    if pid is None and core.threads:
        pid = core.threads[0].tid
    return ProcessFacts(
        pid=int(pid) if pid is not None else None,
        go_version=None if process is None else process.runtime.version,
        arch=core.machine,
        exe=path,
        build_id=None if executable is None else executable.gnu_build_id or executable.go_build_id,
        stripped=None if executable is None else executable.is_stripped,
        rss_bytes=read_evidence(core).rss,
        name=Path(path).name or None if path is not None else None,
        uptime_seconds=_age(note),
        threads=len(core.threads) or None,
        goroutines=goroutines,
    )


def _number(value: object) -> int | float | None:
    """Return what may be a number of a damaged or foreign note, None for anything else."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1 << 63:
        return value
    return None


def _part(note: dict[str, Any], key: str) -> dict[str, Any]:
    value = note.get(key)
    return value if isinstance(value, dict) else {}


def _age(note: dict[str, Any]) -> float | None:
    """Return how long the process had run at the pause: the machine's clock less what its ``stat`` says.

    ``starttime`` is word 22 of /proc/PID/stat, in ticks, 100 a second for user space on every Linux of amd64 and
    arm64 (proc_pid_stat(5), USER_HZ). The name before it, in brackets, may hold anything.
    """
    proc = _part(note, "proc")
    stat, uptime = proc.get("stat"), proc.get("uptime")
    if not isinstance(stat, str) or not isinstance(uptime, str):
        return None
    words, clock = stat.rpartition(")")[2].split(), uptime.split()
    try:
        age = float(clock[0]) - int(words[22 - 3]) / 100
    except (ValueError, IndexError, OverflowError):
        return None
    return round(age, 2) if 0 <= age < math.inf else None


def _timestamp(text: object) -> float | None:
    from datetime import datetime

    try:
        seconds = datetime.fromisoformat(str(text)).timestamp() if text else -1.0
    except (ValueError, OverflowError):
        return None
    return seconds if 0 <= seconds < 1 << 33 else None  # in nanoseconds it must fit 64 bits
