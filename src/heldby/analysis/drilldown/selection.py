"""Which objects a question is about: those of some types, of some packages, those that a path holds.

Patterns are Go's own (``go help packages``): ``...`` stands for any text, everything else for itself.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.analysis.drilldown.grouping import Grouping, by_package, by_type, of_types
from heldby.analysis.drilldown.path_lookup import below, find_place
from heldby.analysis.drilldown.path_references import vertices_on
from heldby.analysis.drilldown.whole_maps import by_own_and_whole_type
from heldby.analysis.holding.holder_tree import build_holder_tree
from heldby.analysis.table import Table
from heldby.errors import UsageError
from heldby.heap.heap import Heap

_SUGGESTIONS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which objects to look at; None for everything.

    Attributes:
        package: pattern of the import path of an object's type.
        type: pattern of its type's name; the parts of a map are of the map's type too.
        holder: a path as heldby prints it; what lies at it and below it.
        with_parts: whether the parts of a map go with it.
    """

    package: str | None = None
    type: str | None = None
    holder: str | None = None
    with_parts: bool = True

    def __bool__(self) -> bool:
        """Tell whether not everything is meant."""
        return any(given is not None for given in (self.package, self.type, self.holder))

    def __str__(self) -> str:
        """Return it as options of the command line."""
        given = (("--type", self.type), ("--package", self.package), ("--holder", self.holder))
        return " ".join(f"{option} {value}" for option, value in given if value is not None)

    def _close(self, heap: Heap) -> str | None:
        """Say what comes close to the type or the package, where nothing is called so."""
        for text, groups in ((self.type, by_type), (self.package, by_package)):
            if text is None:
                continue
            names = groups(heap).names
            if any(pattern(text).fullmatch(name) for name in names):
                continue
            close = [name for name in names if text.strip(".") in name][:_SUGGESTIONS]
            close = close or difflib.get_close_matches(text, names, _SUGGESTIONS, 0.6)
            if close:
                return f"close to it: {', '.join(close)}"
        return None

    def objects(self, heap: Heap) -> NDArray[np.bool_]:
        """Return which live objects are meant, ``bool[n + 1]``. O(objects).

        Raises:
            UsageError: no object is.
        """
        chosen = heap.live.copy()
        if self.type is not None:
            chosen &= _of_types(heap, self.type, self.with_parts)
        if self.package is not None:
            chosen &= _matching(by_package(heap), self.package)
        if self.holder is not None:
            held = build_holder_tree(heap)
            inside = np.zeros(heap.graph.node_count, np.bool_)
            inside[vertices_on(held, below(held, find_place(held, self.holder).paths))] = True
            chosen &= inside[: chosen.size]
        if self and not chosen.any():
            raise UsageError(
                f"no live object fits {self}",
                cause=self._close(heap),
                next_step="names are as heldby top prints them; ... stands for any text, as in encoding/...",
            )
        return chosen


EVERYTHING: Final = Selection()


def large_rows(table: Table, name: str, min_size: int | None) -> Table:
    """Return the rows of `table` with at least `min_size` bytes in column `name`; all of them for None."""
    if min_size is None:
        return table
    sizes = table[name]
    enough = sizes.values >= min_size
    if sizes.unknown is not None:
        enough &= ~sizes.unknown
    return table.take(np.flatnonzero(enough))


def pattern(text: str) -> re.Pattern[str]:
    """Return what matches `text` as ``go list`` would: ``net/...`` is ``net/http`` and ``net`` too."""
    parts = [re.escape(part) for part in re.split(r"\.{3}(?!\.)", text)]  # main.... is main. and any text
    if len(parts) > 1 and parts[-1] == "" and parts[-2].endswith("/"):
        parts[-2] = parts[-2][:-1]
        return re.compile(".*".join(parts[:-1]) + "(/.*)?", re.DOTALL)
    return re.compile(".*".join(parts), re.DOTALL)


def _of_types(heap: Heap, text: str, with_parts: bool) -> NDArray[np.bool_]:
    """Return the objects whose own type matches, and with `with_parts` the parts of maps whose type does."""
    wanted = pattern(text)
    if not with_parts:
        return of_types(heap, wanted)
    groups = by_own_and_whole_type(heap)
    fits = [any(wanted.fullmatch(name) for name in names.split("\0")) for names in groups.names]
    return groups.of_some(np.array(fits, np.bool_))


def _matching(groups: Grouping, text: str) -> NDArray[np.bool_]:
    wanted = pattern(text)
    fits = np.array([wanted.fullmatch(name) is not None for name in groups.names], np.bool_)
    return groups.of_some(fits)
