"""Objects and roots as one graph: node 0, then the objects, then the root nodes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from heldby.golang.references import References
from heldby.graph.csr import Graph
from heldby.heap.roots import NO_GROUP, RootTable


def assemble_graph(references: References, roots: RootTable) -> tuple[Graph, NDArray[np.uint32]]:
    """Return the graph and, for each edge, where in its source the pointer lies.

    For an edge from an object that is the index of the word within the slot, from a root node the row of its
    slot, otherwise 0. Root node i is vertex ``1 + objects + i``. Cost: O(references); their arrays are
    copied once.
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
    offsets = np.zeros(1 + objects + count + 1, np.int64)
    offsets[1 : objects + 2] = references.offsets[1:] + free.size
    offsets[objects + 2 :] = offsets[objects + 1] + row_ends
    targets = np.concatenate((free + np.uint32(first_root), references.targets, root_targets))
    words = np.concatenate((np.zeros(free.size, np.uint32), references.words, root_words))
    return Graph(offsets, targets), words


def _rank_in_run(sorted_keys: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return each element's place within its run of equal keys."""
    position = np.arange(sorted_keys.size, dtype=np.int64)
    starts = (
        np.flatnonzero(np.append(True, sorted_keys[1:] != sorted_keys[:-1])) if sorted_keys.size else position
    )
    lengths = np.diff(np.append(starts, sorted_keys.size))
    return position - np.repeat(starts, lengths)
