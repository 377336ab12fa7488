"""docs/matrix.md: the measured cells as one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tests.matrix.cell import PROGRAMS, Cell
from tests.matrix.goals import HOLDER_ERROR, TYPED_STRIPPED, TYPED_WITH_DWARF, misses, reasons
from tests.support.build import Mode

_HEAD: Final = f"""\
# Every release in every build

Written by `make matrix`; `python -m tests.matrix --help` runs parts of it. Each cell builds {len(PROGRAMS)} scenario
programs ({", ".join(PROGRAMS)}) with one Go release in one way, runs each until it stands still after
`runtime.GC()`, captures it, and holds what heldby read against the process's own collector and counters.

A cell says: objects that the collector marked, and how many of them heldby finds not reachable or the other way
round (=: none); live bytes of known type; live bytes below roots with a name (or, without symbols, with known
users); the largest error of a holder whose bytes the program measured itself. Allocated objects and bytes equal the
program's own `MemStats` in every cell that says nothing else.

Goals: no difference, types for {TYPED_WITH_DWARF:.1%} with DWARF and {TYPED_STRIPPED:.0%} without, holders within \
{HOLDER_ERROR:.0%}.
"""
_WHAT: Final = {
    Mode.DEFAULT: "`go build`",
    Mode.NO_DWARF: "`-ldflags=-w`",
    Mode.STRIPPED: "`-ldflags='-s -w'`",
    Mode.TRIMMED: "`-trimpath`",
    Mode.UNOPTIMISED: "`-gcflags=all='-N -l'`",
    Mode.TAGGED: "`-tags netgo,osusergo`",
    Mode.POSITION_INDEPENDENT: "`-buildmode=pie`",
    Mode.STRIPPED_PIE: "`-buildmode=pie -ldflags='-s -w'`",
    Mode.NO_BUILD_INFO: "`-s -w`, no build information, no build id",
    Mode.NO_RELEASE: "`-s -w`, says no release",
    Mode.CGO: "cgo, linked by gcc",
    Mode.CGO_STATIC: "cgo, static",
    Mode.CGO_STRIPPED_PIE: "cgo, PIE, `-s -w` (merged sections)",
    Mode.RACE: "`-race`",
    Mode.GARBLED: "garble",
    Mode.ARM64: "arm64, under qemu",
    Mode.ARM64_STRIPPED: "arm64, `-ldflags='-s -w'`, under qemu",
}


def page(cells: Sequence[Cell], machine: str) -> str:
    """Return the page in Markdown: a table for each release, newest first, then what is not reached and why."""
    parts = [_HEAD, f"Measured on {machine}.\n"]
    releases = sorted({cell.release for cell in cells}, key=_version, reverse=True)
    for release in releases:
        own = {cell.mode: cell for cell in cells if cell.release == release}
        parts.append(f"## Go {release}\n\n" + _table(own))
    notes = [f"- {text}: {where}." for text, where in _remarks(cells).items()]
    if notes:
        parts.append("## What differs, and why\n\n" + "\n".join(notes) + "\n")
    return "\n".join(parts)


def _table(cells: Mapping[str, Cell]) -> str:
    lines = ["| build | marked | differing | typed | named roots | holders |", "|---|--:|--:|--:|--:|--:|"]
    for mode, what in _WHAT.items():
        cell = cells.get(mode.name)
        if cell is None:
            continue
        if not cell.live_bytes:
            lines.append(f"| {what} | | | | | |")
            continue
        error = "" if cell.holder_error is None else f"{cell.holder_error:.2%}"
        difference = "=" if not cell.differing else f"{cell.differing}"
        lines.append(
            f"| {what} | {cell.marked:,} | {difference} | {cell.typed_share:.2%} | {cell.named_share:.2%} | {error} |"
        )
    return "\n".join(lines) + "\n"


def _remarks(cells: Sequence[Cell]) -> dict[str, str]:
    """Return what is to be said, each once, with the cells that it is about."""
    found: dict[str, dict[str, list[str]]] = {}
    for cell in cells:
        for text in (*(f"**missed**: {text}" for text in misses(cell)), *reasons(cell)):
            found.setdefault(text, {}).setdefault(cell.release, []).append(_WHAT[Mode[cell.mode]])
    return {
        text: "; ".join(f"Go {release} ({', '.join(builds)})" for release, builds in where.items())
        for text, where in found.items()
    }


def _version(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.split(".") if part.isdigit())
