"""What a scenario program holds, as written out by hand in its ``expected.json``.

A *row* says what objects of one type stand at one place: by ``path``, spelled as heldby spells it
(``main.nodes[*].Name``), or anywhere beneath a ``root``, where the path depends on how a list or tree happens
to be linked. Counts that are null depend on hashes or on the release; the program's own measurement of the
root is then the truth. A type that is null is not compared.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.support.build import SCENARIOS

_ROOT = re.compile(r"[\w/]+\.\w+")

_FIRST, _LAST = "1.00", "1.99"

#: Every scenario with a list of what it holds.
NAMES = tuple(sorted(path.parent.name for path in (SCENARIOS / "programs").glob("*/expected.json")))

#: A root measurement may contain what the runtime allocates for itself meanwhile: a semaphore's sudog
#: (112 bytes), now and then a timer's or thread's structure. Never more, and never less than nothing.
NOISE_OBJECTS = 3
NOISE_BYTES = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Objects of one type at one place.

    Attributes:
        root: the global variable, such as ``main.nodes``.
        path: the whole path as heldby spells it, or None for anywhere beneath the root.
        type: their Go type as heldby spells it; None for any.
        objects: how many.
        shallow_bytes: their slots together.
        since, until: the first and last minor release of Go in which that is so.
    """

    root: str
    path: str | None
    type: str | None
    objects: int | None
    shallow_bytes: int | None
    since: str = _FIRST
    until: str = _LAST

    def holds(self, minor: str) -> bool:
        """Tell whether the row is so in that release."""
        return self.since <= minor <= self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """All that one scenario says about itself.

    Attributes:
        rows: what hangs on global variables.
        partial: roots that hold more than their rows, of the runtime's or a library's own.
        live_of_type: how many live objects of some types there are, wherever they hang.
        untyped_when_stripped: types that no descriptor, header or interface names without debug information.
        more: further lists that single tests read (``blocked``, ``shared``, ``specials``).
    """

    rows: tuple[Row, ...]
    partial: frozenset[str]
    live_of_type: Mapping[str, int]
    untyped_when_stripped: frozenset[str]
    more: Mapping[str, Any]

    def total(self, root: str) -> tuple[int, int]:
        """Return the objects and bytes of all rows of a root, without those that are not known."""
        rows = [row for row in self.rows if row.root == root]
        return sum(row.objects or 0 for row in rows), sum(row.shallow_bytes or 0 for row in rows)

    def types(self) -> Mapping[str, int]:
        """Return how many live objects of each of the program's own types there are, as far as is known."""
        found: Counter[str] = Counter()
        for row in self.rows:
            if row.type is not None and row.type.startswith("main."):
                found[row.type] += row.objects or 0
        return {**found, **self.live_of_type}

    @property
    def roots(self) -> tuple[str, ...]:
        """The roots that have rows, in order."""
        return tuple(dict.fromkeys(row.root for row in self.rows))


def expected(name: str, *, minor: str = "1.27") -> Expected:
    """Read what the scenario ``name`` holds when it is built with Go ``minor``."""
    document = json.loads((SCENARIOS / "programs" / name / "expected.json").read_text())
    rows = tuple(row for entry in document.pop("rows") if (row := _row(entry)).holds(minor))
    return Expected(
        rows=rows,
        # Where the number of some objects is not known, neither is that of the root.
        partial=frozenset(document.pop("partial", ())) | {row.root for row in rows if row.objects is None},
        live_of_type={
            name: objects if isinstance(objects, int) else _in_release(objects, minor)
            for name, objects in document.pop("live_of_type", {}).items()
        },
        untyped_when_stripped=frozenset(document.pop("untyped_when_stripped", ())),
        more=document,
    )


def names(minor: str) -> tuple[str, ...]:
    """Return the scenarios that Go ``minor`` can build."""
    return tuple(name for name in NAMES if why_not(name, minor) is None)


def why_not(name: str, minor: str) -> str | None:
    """Return why Go ``minor`` cannot build a scenario, None when it can."""
    needs = expected(name).more.get("needs")
    return needs["because"] if needs is not None and minor < needs["since"] else None


def _in_release(choices: Sequence[Mapping[str, Any]], minor: str) -> int:
    """Return the number of the one choice that holds in a release; a choice may say ``since`` and ``until``."""
    (objects,) = (
        choice["objects"]
        for choice in choices
        if choice.get("since", _FIRST) <= minor <= choice.get("until", _LAST)
    )
    return int(objects)


def _row(entry: Mapping[str, Any]) -> Row:
    path = entry.get("path")
    found = _ROOT.match(path if path is not None else entry["root"])
    assert found is not None, entry
    return Row(
        root=found.group(),
        path=path,
        type=entry["type"],
        objects=entry["objects"],
        shallow_bytes=entry["bytes"],
        since=entry.get("since", _FIRST),
        until=entry.get("until", _LAST),
    )
