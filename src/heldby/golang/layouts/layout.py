"""Offsets and sizes of the Go runtime's structures and its constants, behind one door.

`Layout` answers by field name; whoever reads the runtime never writes an offset. The built-in tables (one JSON
file per minor release in ``layouts/``) are written by ``tools/layouts/generate.py`` from the DWARF of programs
compiled with that release. Patch releases moved only fields of ``m``, ``timer`` and ``work`` so far, none that
is read here without a check. What else differs between releases is in `heldby.golang.layouts.differences`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

from heldby.errors import CheckFailed, Unsupported

KNOWN_RELEASES: Final = ("1.27", "1.26", "1.25", "1.24", "1.23", "1.22", "1.21")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the fields of runtime structures lie in one Go release on one architecture.

    Attributes:
        release: the release that the layout was made from, e.g. ``1.26.6``.
        arch: ``amd64`` or ``arm64``.
        wait_reasons: why a goroutine waits, by ``g.waitreason``.
    """

    release: str
    arch: str
    _structs: Mapping[str, Any]
    _consts: Mapping[str, int]
    wait_reasons: tuple[str, ...]

    @property
    def minor(self) -> int:
        """The minor release, 26 for 1.26.6; ask `heldby.golang.layouts.differences` what follows from it."""
        return int(self.release.split(".")[1])

    def has(self, struct: str, field: str | None = None) -> bool:
        """Tell whether this release knows `struct` (and its `field`)."""
        return struct in self._structs and (field is None or field in self._structs[struct]["fields"])

    def size(self, struct: str) -> int:
        """Return the bytes that `struct` takes. Raises CheckFailed when this release has no such structure."""
        if struct not in self._structs:
            raise self._missing(struct)
        return int(self._structs[struct]["size"])

    def offset(self, struct: str, *path: str) -> int:
        """Return the byte offset of a field; further names descend into the field's own structure.

        Raises:
            CheckFailed: this release has no such field; the check is called by its name.
        """
        total = 0
        for name in path:
            offset, type_name, _ = self._field(struct, name)
            total += int(offset)
            struct = type_name
        return total

    def type_of(self, struct: str, field: str) -> str:
        """Return the type of a field as DWARF names it."""
        return str(self._field(struct, field)[1])

    def fields(self, struct: str, type_name: str) -> list[str]:
        """Return the names of the fields of a type, as DWARF names it, in order."""
        found = self._structs[struct]["fields"]
        return [name for name, (_, of_type, _) in found.items() if of_type == type_name]

    def field_size(self, struct: str, field: str) -> int:
        """Return the bytes of a field. Raises CheckFailed when there is no such field."""
        return int(self._field(struct, field)[2])

    def _field(self, struct: str, field: str) -> Any:
        if not self.has(struct, field):
            raise self._missing(f"{struct}.{field}")
        return self._structs[struct]["fields"][field]

    def _missing(self, name: str) -> CheckFailed:
        return CheckFailed(
            name,
            f"Go {self.release} on {self.arch} has no {name}",
            cause="this release keeps it in another way, or the program's debug information leaves it out",
            next_step="install a newer heldby; see docs/adding-a-release.md",
        )

    def const(self, name: str, default: int | None = None) -> int:
        """Return a constant such as ``runtime._GCmark``; `default` where the release has none."""
        if name in self._consts:
            return int(self._consts[name])
        if default is None:
            raise self._missing(name)
        return default

    def has_const(self, name: str) -> bool:
        """Tell whether this release has the constant."""
        return name in self._consts


def parse_version(version: str) -> tuple[int, int] | None:
    """Return ``(1, 27)`` for ``go1.27.3`` and ``go1.27-devel_..``; None for a version without a number."""
    match = re.match(r"(?:go|devel go)(\d+)\.(\d+)", version)
    return (int(match[1]), int(match[2])) if match else None


def is_known(version: str) -> bool:
    """Tell whether there is a built-in table for a version string as the runtime reports it."""
    parsed = parse_version(version)
    return parsed is not None and f"{parsed[0]}.{parsed[1]}" in KNOWN_RELEASES


def is_newer(version: str) -> bool:
    """Tell whether a version is of a release after the newest known one."""
    parsed, newest = parse_version(version), parse_version(f"go{KNOWN_RELEASES[0]}")
    return parsed is not None and newest is not None and parsed > newest


@cache
def table_layout(version: str, arch: str) -> Layout:
    """Return the built-in layout for a version string as the runtime reports it.

    Raises:
        Unsupported: there is no table for that release.
    """
    parsed = parse_version(version)
    if parsed is None or not is_known(version):
        raise Unsupported(
            f"no layout is known for {version!r} on {arch}",
            cause=f"this heldby knows Go {KNOWN_RELEASES[-1]} to {KNOWN_RELEASES[0]}",
            next_step="install a newer heldby, or see docs/adding-a-release.md",
        )
    name = f"go{parsed[0]}.{parsed[1]}.json"
    table = json.loads(resources.files("heldby.golang.layouts").joinpath(name).read_text("utf-8"))
    return Layout(
        table["release"],
        arch,
        _of_architecture(table, arch, "structs"),
        _of_architecture(table, arch, "consts"),
        tuple(table["wait_reasons"]),
    )


def _of_architecture(table: Mapping[str, Any], arch: str, kind: str) -> dict[str, Any]:
    """Return a table's rows for `arch`: amd64 has them all, others what differs (null: they lack it)."""
    rows = dict(table["amd64"][kind])
    if arch != "amd64":
        rows.update(table[arch][kind])
    return {name: row for name, row in rows.items() if row is not None}
