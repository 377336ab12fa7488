"""Objects and roots as one graph: node 0, then the objects, then the root nodes."""

from __future__ import annotations

from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from heldby.golang.objects.references import References
from heldby.graph.csr import Graph
from heldby.heap.roots import NO_GROUP, RootTable

_STRETCH: Final = 1 << 16
_T = TypeVar("_T", bound=np.generic)


def assemble_graph(references: References, roots: RootTable) -> tuple[Graph, NDArray[np.uint32]]:
    """Return the graph and, for each edge, where in its source the pointer lies.

    For an edge from an object that is the index of the word within the slot, from a root node the row of its
    slot, otherwise 0. Root node i is vertex ``1 + objects + i``. Cost: O(references). The arrays of
    `references` are grown where they are and become the graph's: nobody may hold a view of them.
    """
    objects = references.offsets.size - 2
    first_root = objects + 1
    count = len(roots)
    nodes = np.arange(count, dtype=np.uint32)
    free = nodes[roots.group == NO_GROUP]
    grouped = nodes[roots.group != NO_GROUP]
    members = grouped[np.argsort(roots.group[grouped], kind="stable")]
    member_counts = np.bincount(roots.group[members], minlength=count)
    slot_counts = np.bincount(roots.slot_node, minlength=count)
    # A node's row holds its members first, then its slots; both lists are already in order of their nodes.
    row_ends = np.cumsum(member_counts + slot_counts)
    row_starts = row_ends - member_counts - slot_counts
    root_edges = int(row_ends[-1]) if count else 0
    root_targets, root_words = np.zeros(root_edges, np.uint32), np.zeros(root_edges, np.uint32)
    member_at = row_starts[roots.group[members]] + _rank_in_run(roots.group[members])
    root_targets[member_at] = members + np.uint32(first_root)
    slots = np.arange(roots.slot_node.size, dtype=np.int64)
    slot_at = row_starts[roots.slot_node] + member_counts[roots.slot_node] + _rank_in_run(roots.slot_node)
    root_targets[slot_at] = roots.slot_target
    root_words[slot_at] = slots
    offsets = references.offsets
    offsets[1:] += free.size
    _extend(offsets, offsets[:0].copy(), offsets[objects + 1] + row_ends)
    _extend(references.targets, free + np.uint32(first_root), root_targets)
    _extend(references.words, np.zeros(free.size, np.uint32), root_words)
    return Graph(offsets, references.targets), references.words


def _extend(array: NDArray[_T], before: NDArray[_T], behind: NDArray[_T]) -> None:
    """Put elements before and behind those of `array`, in place: large ones the system moves by their pages."""
    count = array.size
    array.resize(before.size + count + behind.size, refcheck=False)
    for high in range(count, 0, -_STRETCH):
        low = max(high - _STRETCH, 0)
        array[before.size + low : before.size + high] = array[low:high]
    array[: before.size] = before
    array[before.size + count :] = behind


def _rank_in_run(sorted_keys: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return each element's place within its run of equal keys."""
    position = np.arange(sorted_keys.size, dtype=np.int64)
    starts = (
        np.flatnonzero(np.append(True, sorted_keys[1:] != sorted_keys[:-1])) if sorted_keys.size else position
    )
    lengths = np.diff(np.append(starts, sorted_keys.size))
    return position - np.repeat(starts, lengths)
