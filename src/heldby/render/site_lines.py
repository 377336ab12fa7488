"""Where a holder's bytes were allocated, and what pprof shows for them: two lines below its row."""

from __future__ import annotations

from collections import Counter
from pathlib import PurePosixPath
from typing import Final

from rich.cells import cell_len

from heldby.analysis.answer import Answer, Frame, Held
from heldby.golang.functions.functions import package_of
from heldby.render.plain_text import printable, shorten, without_folders
from heldby.render.waterfall import percent
from heldby.units import format_count

_WORDS: Final = "allocated at "
_SHOWN: Final = "pprof shows "
_NAMES: Final = 3
_SHORTEST_NAME: Final = 24


def allocated_at(answer: Answer, holder: int, room: int) -> str:
    """Return the line of code that allocated most of what a holder holds; empty when it is not known."""
    rows = _held_by(answer, holder)
    total = sum(row.bytes for row in rows)
    if total <= 0:
        return ""
    places: Counter[Frame] = Counter()
    samples: Counter[Frame] = Counter()
    for row in rows:
        frame = answer.sites[row.site].leaf
        if frame is not None:
            places[frame] += row.bytes
            samples[frame] += row.samples
    if not places:
        return ""
    frame, most = places.most_common(1)[0]
    full, function = printable(frame.func), without_folders(printable(frame.func))
    place = f" {place_of(frame)}" if frame.file else ""
    share = f" {percent(most / total)}"
    count = samples[frame]
    stands_on = f" ({format_count(count)} sample{'' if count == 1 else 's'})"
    room -= len(_WORDS)
    for name, rest in ((full, place + share + stands_on), (function, place + share + stands_on)):
        if cell_len(name + rest) <= room:
            return _WORDS + name + rest
    rest = place + share if room - cell_len(place + share) >= _SHORTEST_NAME else share
    return _WORDS + shorten(function, room - cell_len(rest)) + rest


def pprof_shows(answer: Answer, holder: int, room: int) -> str:
    """Return under which names a holder's bytes stand in pprof.

    Where several packages allocated, libraries are named by their package; otherwise by function.
    """
    rows = _held_by(answer, holder)
    functions: Counter[str] = Counter()
    for row in rows:
        frame = answer.sites[row.site].leaf
        functions[frame.func if frame is not None else "(no stack)"] += row.bytes
    total = sum(functions.values())
    if total <= 0:
        return ""
    packages: Counter[str] = Counter()
    for function, count in functions.items():
        package = package_of(function)
        packages[function if package == "main" else package] += count
    names = packages if len({package_of(function) for function in functions}) > 1 else functions
    parts = [
        f"{without_folders(printable(name))} {percent(count / total)}"
        for name, count in names.most_common(_NAMES)
    ]
    return _SHOWN + shorten_list(parts, room - len(_SHOWN))


def place_of(frame: Frame) -> str:
    """Return ``decode.go:1004``; empty when the file is not known."""
    if not frame.file:
        return ""
    return printable(PurePosixPath(frame.file).name) + (f":{frame.line}" if frame.line else "")


def shorten_list(parts: list[str], room: int) -> str:
    """Return as many of the parts as fit, the first one in any case."""
    while len(parts) > 1 and cell_len(", ".join(parts)) > room:
        parts = parts[:-1]
    return shorten(", ".join(parts), room)


def _held_by(answer: Answer, holder: int) -> list[Held]:
    return [row for row in answer.held if row.holder == holder and row.site < len(answer.sites)]
