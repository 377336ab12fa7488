"""A layout from debug information: for the built-in tables, and for a release that has none.

The runtime's structures are in the DWARF of every Go program that was not stripped, with the offsets of exactly
that build.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from heldby.binary.dwarf import Dwarf
from heldby.golang.layouts.layout import Layout
from heldby.golang.layouts.layout_names import CONSTANT_PREFIXES, CONSTANTS, STRUCTS, WAIT_REASONS

_MAX_WAIT_REASONS: Final = 256
_MAX_REASON_BYTES: Final = 200

ReadBytes = Callable[[int, int], bytes]
"""From an address and a size to bytes of the program's data."""


def dwarf_layout(dwarf: Dwarf, version: str, arch: str, read: ReadBytes, load_bias: int) -> Layout:
    """Return the layout that `dwarf` describes; what it does not describe is missing in it.

    Args:
        dwarf: of the program.
        version: as the runtime reports it, ``go1.28.1``.
        arch: ``amd64`` or ``arm64``.
        read: reads the process's memory.
        load_bias: run-time address minus static address of the program.
    """
    release = version.removeprefix("devel ").removeprefix("go")
    return Layout(release, arch, structs(dwarf), constants(dwarf), wait_reasons(dwarf, read, load_bias))


def structs(dwarf: Dwarf) -> dict[str, Any]:
    """Return the structures as layout tables have them: size, and offset, type and size of each field."""
    found: dict[str, Any] = {}
    for name in STRUCTS:
        described = dwarf.find_type(name)
        if described is None or described.kind != "struct" or described.size is None:
            continue
        fields = {}
        for field in described.fields:
            of = field.type
            if field.name != "_":
                size = None if of is None else of.size
                fields[field.name] = [field.offset, "?" if of is None else of.name, size]
        found[name] = {"size": described.size, "fields": fields}
    return found


def constants(dwarf: Dwarf) -> dict[str, int]:
    """Return the constants by name."""
    wanted = set(CONSTANTS)
    return {
        name: value
        for name, value in sorted(dwarf.constants.items())
        if name in wanted or (name.startswith(CONSTANT_PREFIXES) and not name.endswith("_unused"))
    }


def wait_reasons(dwarf: Dwarf, read: ReadBytes, load_bias: int = 0) -> tuple[str, ...]:
    """Return why goroutines wait, by number; empty when the program does not say."""
    row = dwarf.find_global(WAIT_REASONS)
    if row is None:
        return ()
    count = max(0, int(dwarf.globals.sizes[row]) // 16)
    texts = []
    for number in range(min(count, _MAX_WAIT_REASONS)):
        header = read(int(dwarf.globals.addresses[row]) + load_bias + 16 * number, 16)
        address, size = int.from_bytes(header[:8], "little"), int.from_bytes(header[8:], "little")
        texts.append(read(address, min(size, _MAX_REASON_BYTES)).decode("utf-8", "replace") if size else "")
    return tuple(texts)
