"""Mappings of a process as /proc/PID/maps and smaps tell them. Text only; any line may be damaged."""

from __future__ import annotations

from collections.abc import Mapping as Fields
from dataclasses import dataclass
from typing import Final

_MOST_KIB: Final = 1 << 40


@dataclass(frozen=True, slots=True)
class Mapping:
    """One line of /proc/PID/maps.

    Attributes:
        perms: four characters such as ``rw-p``.
        device: ``major:minor`` in hexadecimal; with `inode` it tells files apart.
    """

    start: int
    end: int
    perms: str
    offset: int
    device: str
    inode: int
    path: str

    @property
    def size(self) -> int:
        """Bytes of address space."""
        return self.end - self.start

    @property
    def is_private(self) -> bool:
        """Writes stay in this process."""
        return self.perms[3] == "p"

    @property
    def is_anonymous(self) -> bool:
        """No file is behind it: what was never touched is zero."""
        return self.inode == 0

    @property
    def flags(self) -> int:
        """Permissions as in ELF's ``p_flags``."""
        return sum(bit for bit, sign in zip((4, 2, 1), self.perms, strict=False) if sign != "-")


@dataclass(frozen=True, slots=True)
class MappedMemory:
    """One mapping with what smaps says of it.

    Attributes:
        sizes: smaps' own fields in bytes: ``Rss``, ``Swap``, ``LazyFree``, ``AnonHugePages`` ...
    """

    mapping: Mapping
    sizes: Fields[str, int]

    @property
    def resident(self) -> int:
        """Bytes in memory."""
        return self.sizes.get("Rss", 0)


def parse_maps(text: str) -> list[Mapping]:
    """Return the mappings of a maps file in address order; lines that make no sense are left out."""
    return [mapping for line in text.splitlines() if (mapping := _parse_mapping(line)) is not None]


def parse_smaps(text: str) -> list[MappedMemory]:
    """Return the mappings of a smaps file with their sizes; lines that make no sense are left out."""
    found: list[MappedMemory] = []
    sizes: dict[str, int] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon and " " not in name:
            parts = value.split()
            if len(parts) == 2 and parts[1] == "kB" and parts[0].isdecimal() and len(parts[0]) < 16:
                sizes[name] = min(int(parts[0]), _MOST_KIB) * 1024
        elif (mapping := _parse_mapping(line)) is not None:
            sizes = {}
            found.append(MappedMemory(mapping, sizes))
    return found


def _parse_mapping(line: str) -> Mapping | None:
    fields = line.split(None, 5)
    if len(fields) < 5 or len(fields[1]) < 4:
        return None
    try:
        start, end = (int(x, 16) for x in fields[0].split("-"))
        # Newlines in paths come as \012 (fs/proc/task_mmu.c, seq_file_path).
        path = fields[5].replace("\\012", "\n") if len(fields) > 5 else ""
        return Mapping(start, end, fields[1], int(fields[2], 16), fields[3], int(fields[4]), path)
    except ValueError:
        return None
