"""From a path as heldby prints it, ``main.manager.paths[*]``, to what it stands for in the heap."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.analysis.drilldown.path_references import PathReferences
from heldby.analysis.holding.holder_tree import HolderTree
from heldby.errors import UsageError

_SUGGESTIONS: Final = 3
_MOST_COMPARED: Final = 5000


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """What a text stands for.

    Attributes:
        paths: rows of `HolderTree.paths` that are printed so.
        sources: rows whose text this text begins with, and what follows there; see `PathReferences.find`.
    """

    paths: list[int]
    sources: list[tuple[int, str]]


def find_place(tree: HolderTree, text: str, references: PathReferences | None = None) -> Place:
    """Return what `text` stands for. O(paths) for the children's lists; only matching rows are descended.

    The name of a slice or pointer stands for what lies behind it: ``.Seen`` for ``.Seen[*]``, where nothing else is
    called so. `references` keeps what was looked at for whoever asks it for `Place.sources` afterwards.

    Raises:
        UsageError: nothing is called so; the message names what comes close.
    """
    wanted = text.strip()
    near: list[str] = []
    references = references or PathReferences(tree)
    for name in (wanted, f"{wanted}[*]"):
        place = _called(tree, name, near)
        if place.paths or references.find(place.sources).edges.size:
            return place
    close = difflib.get_close_matches(wanted, dict.fromkeys(near), _SUGGESTIONS, 0.6)
    raise UsageError(
        f"nothing is called {text}",
        cause=f"close to it: {', '.join(close)}" if close else None,
        next_step="list what there is with: heldby tree TARGET",
    )


def _called(tree: HolderTree, wanted: str, near: list[str]) -> Place:
    """Return what is printed so, if anything is; add what is not to `near`."""
    offsets, children = tree.paths.children()
    paths: list[int] = []
    sources: list[tuple[int, str]] = []
    pending = [0]
    while pending:
        path = pending.pop()
        for child in children[offsets[path] : offsets[path + 1]].tolist():
            found = tree.text(child)
            if found.strip() == wanted:
                paths.append(child)
            elif wanted.startswith(found):
                pending.append(child)
                sources.append((child, wanted[len(found) :]))
            elif len(near) < _MOST_COMPARED:
                near.append(found.strip())
    return Place(sorted(paths), sources)


def below(tree: HolderTree, paths: list[int]) -> NDArray[np.bool_]:
    """Return which rows are `paths` or lie below them, ``bool[p]``. O(rows × depth)."""
    mask = np.zeros(tree.paths.path_count, np.bool_)
    mask[paths] = True
    while True:
        wider = mask | mask[tree.paths.parent]
        if np.array_equal(wider, mask):
            return mask
        mask = wider
