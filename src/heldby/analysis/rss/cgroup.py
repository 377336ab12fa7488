"""What the cgroup charges beyond RSS: page cache, kernel memory, other processes; and its limit.

Kernel documentation: admin-guide/cgroup-v2.rst (memory.stat) and admin-guide/cgroup-v1/memory.rst.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from heldby.analysis.answer import RssRow
from heldby.analysis.rss.evidence import Evidence, status_bytes

_UNLIMITED: Final = 1 << 60


@dataclass(frozen=True, slots=True)
class Charge:
    """What is charged or used beside RSS.

    Attributes:
        rows: as `RssAccount.beyond`.
        limit: of the cgroup and those above it, in bytes; None for no limit, or an unknown one.
        usage: what the cgroup charges in all.
        firm: of it beyond this process's RSS, what the kernel cannot drop: kernel memory, other processes.
    """

    rows: tuple[RssRow, ...]
    limit: int | None
    usage: int | None
    firm: int


def charge_of(evidence: Evidence) -> Charge:
    """Return the charge that /proc and the cgroup's files tell."""
    files = _texts(evidence.proc.get("cgroup_files"))
    stat = _numbers(files.get("memory.stat", ""))
    rows = list(_swap(evidence))
    second = "memory.current" in files
    usage = _number(files.get("memory.current" if second else "memory.usage_in_bytes"))
    cache, kernel, anonymous = _version2(stat) if second else _version1(stat, files)
    source = "memory.stat of the cgroup"
    firm = 0
    if usage is not None:
        if cache is not None:
            note = "not mapped by it; the kernel drops it before the limit kills"
            rows.append(
                RssRow(name="page cache of the cgroup", bytes=cache, note=note, source=source, group="cgroup")
            )
        if kernel is not None:
            firm += kernel
            note = "page tables, sockets, slab"
            rows.append(
                RssRow(
                    name="kernel memory of the cgroup", bytes=kernel, note=note, source=source, group="cgroup"
                )
            )
        others = _other_processes(files, anonymous, evidence)
        if others:
            firm += others
            note = f"{files['processes']} processes share the cgroup"
            rows.append(
                RssRow(name="other processes", bytes=others, note=note, source=source, group="cgroup")
            )
    elif (tables := status_bytes(evidence.proc.get("status"), "VmPTE")) is not None:
        firm += tables
        note = "the kernel's, for this process"
        rows.append(
            RssRow(name="page tables", bytes=tables, note=note, source="VmPTE of status", group="kernel")
        )
    return Charge(tuple(rows), _limit(files, stat), usage, firm)


def _swap(evidence: Evidence) -> list[RssRow]:
    swapped = sum(item.sizes.get("Swap", 0) for item in evidence.memory)
    if not swapped:
        return []
    note = "in no row's resident bytes; a collection reads the heap's part back"
    return [RssRow(name="swap", bytes=swapped, note=note, source="smaps", group="swap")]


def _version2(stat: Mapping[str, int]) -> tuple[int | None, int | None, int | None]:
    cache = _difference(stat.get("file"), stat.get("file_mapped"))
    kernel = stat.get("kernel")
    if kernel is None and "slab" in stat:  # before Linux 5.18
        kernel = sum(stat.get(name, 0) for name in ("slab", "kernel_stack", "pagetables", "percpu"))
    if kernel is not None:
        kernel += stat.get("sock", 0)
    return cache, kernel, stat.get("anon")


def _version1(stat: Mapping[str, int], files: Mapping[str, str]) -> tuple[int | None, int | None, int | None]:
    cache = _difference(stat.get("total_cache"), stat.get("total_mapped_file"))
    return cache, _number(files.get("memory.kmem.usage_in_bytes")), stat.get("total_rss")


def _other_processes(files: Mapping[str, str], anonymous: int | None, evidence: Evidence) -> int:
    """Return the anonymous memory that the group charges and this process does not have."""
    processes = _number(files.get("processes"))
    own = status_bytes(evidence.proc.get("status"), "RssAnon")
    if processes is None or processes < 2 or anonymous is None or own is None:
        return 0
    return max(0, anonymous - own)


def _limit(files: Mapping[str, str], stat: Mapping[str, int]) -> int | None:
    texts = [files.get("memory.max", ""), *files.get("above memory.max", "").split()]
    limits = [number for text in texts if (number := _number(text)) is not None]
    limits += [stat["hierarchical_memory_limit"]] if "hierarchical_memory_limit" in stat else []
    found = min(limits, default=_UNLIMITED)
    return found if 0 < found < _UNLIMITED else None


def _difference(whole: int | None, part: int | None) -> int | None:
    return None if whole is None else max(0, whole - (part or 0))


def _texts(value: Any) -> dict[str, str]:
    items = value.items() if isinstance(value, dict) else ()
    return {key: text for key, text in items if isinstance(text, str)}


def _numbers(text: str) -> dict[str, int]:
    pairs = [line.split() for line in text.splitlines()]
    return {p[0]: n for p in pairs if len(p) == 2 and (n := _number(p[1])) is not None}


def _number(text: str | None) -> int | None:
    words = (text or "").split()
    return int(words[0]) if len(words) == 1 and words[0].isdecimal() and len(words[0]) < 20 else None
