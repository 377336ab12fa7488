"""Which objects a question is about: those of some types, of some packages, those that a path holds.

Patterns are Go's own (``go help packages``): ``...`` stands for any text, everything else for itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.analysis.drilldown.grouping import Grouping, by_package, by_type
from heldby.analysis.drilldown.path_lookup import below, find_place, vertices_on
from heldby.analysis.holder_tree import build_holder_tree
from heldby.errors import UsageError
from heldby.heap.heap import Heap


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What to look at; None for everything.

    Attributes:
        package: pattern of the import path of an object's type.
        type: pattern of its type's name.
        holder: a path as heldby prints it; what lies at it and below it.
    """

    package: str | None = None
    type: str | None = None
    holder: str | None = None

    def objects(self, heap: Heap) -> NDArray[np.bool_]:
        """Return which live objects are meant, ``bool[n + 1]``. O(objects).

        Raises:
            UsageError: no object is.
        """
        chosen = heap.live.copy()
        if self.type is not None:
            chosen &= _matching(by_type(heap), self.type)
        if self.package is not None:
            chosen &= _matching(by_package(heap), self.package)
        if self.holder is not None:
            held = build_holder_tree(heap)
            inside = np.zeros(heap.graph.node_count, np.bool_)
            inside[vertices_on(held, below(held, find_place(held, self.holder).paths))] = True
            chosen &= inside[: chosen.size]
        if self != EVERYTHING and not chosen.any():
            given = (("--type", self.type), ("--package", self.package), ("--holder", self.holder))
            said = " ".join(f"{option} {value}" for option, value in given if value is not None)
            raise UsageError(
                f"no live object fits {said}",
                next_step="names are as heldby top prints them; ... stands for any text, as in encoding/...",
            )
        return chosen


EVERYTHING: Final = Selection()


def pattern(text: str) -> re.Pattern[str]:
    """Return what matches `text` as ``go list`` would: ``net/...`` is ``net/http`` and ``net`` too."""
    parts = [re.escape(part) for part in re.split(r"\.{3}(?!\.)", text)]  # main.... is main. and any text
    if len(parts) > 1 and parts[-1] == "" and parts[-2].endswith("/"):
        parts[-2] = parts[-2][:-1]
        return re.compile(".*".join(parts[:-1]) + "(/.*)?", re.DOTALL)
    return re.compile(".*".join(parts), re.DOTALL)


def _matching(groups: Grouping, text: str) -> NDArray[np.bool_]:
    wanted = pattern(text)
    fits = np.array([wanted.fullmatch(name) is not None for name in groups.names], np.bool_)
    return groups.of_some(fits)
