"""Allocated here, held there, in one flame graph: the allocation stack below, the reference path on top.

Read from the outermost frame: the calls that allocated, down to the allocating line, then the root that holds the
objects and the steps to where they lie. So a flame graph of pprof shows for each site who keeps what it made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from heldby.profiles.holder_paths import PathTree
from heldby.profiles.pprof_write import FrameName, ProfileBuilder

GARBAGE: Final = -1
"""In place of a node: nothing holds the objects."""
SAMPLE_TYPES: Final = (
    ("garbage_space", "bytes"),
    ("samples", "count"),
    ("inuse_objects", "count"),
    ("inuse_space", "bytes"),
)
COMMENTS: Final = (
    "Written by heldby: below, calls that allocated; above them, reference paths to what they allocated.",
    "All values are estimates from sampled objects, scaled as pprof scales them; samples says from how many.",
    "inuse_space and inuse_objects are reachable; garbage_space the next collection frees.",
)
_GARBAGE_FRAME: Final = FrameName("(garbage)", "reference path")


class Share(NamedTuple):
    """What one site allocated for one place: `stack` is leaf first, `node` one of the tree's or `GARBAGE`."""

    stack: tuple[FrameName, ...]
    node: int
    bytes: int
    objects: int
    samples: int


def joined_profile(
    tree: PathTree,
    shares: Sequence[Share],
    *,
    rate: int,
    executable: str = "",
    build_id: str = "",
    time_nanos: int = 0,
    comments: Sequence[str] = (),
) -> bytes:
    """Return the profile as a ``.pb.gz``; O(frames of the shares), in Python.

    Args:
        tree: the merged dominator tree.
        shares: what was sampled, by site and place.
        rate: ``runtime.MemProfileRate``.
        executable: the program's path.
        build_id: the program's build id.
        time_nanos: when the target was paused.
        comments: more lines, such as the caveats of the answer.
    """
    builder = ProfileBuilder(
        SAMPLE_TYPES,
        default_sample_type="inuse_space",
        executable=executable,
        build_id=build_id,
        time_nanos=time_nanos,
        comments=(*COMMENTS, *comments),
        period=("space", "bytes", rate),
    )
    paths: dict[int, tuple[list[int], dict[str, str]]] = {
        GARBAGE: ([builder.location(_GARBAGE_FRAME)], {"root_kind": "garbage"})
    }
    for share in shares:
        if share.node not in paths:
            nodes = _way(tree, share.node)
            places = [builder.location(tree.frame(node)) for node in nodes]
            paths[share.node] = places, tree.labels(nodes[0], nodes[-1]) if nodes else {}
        above, labels = paths[share.node]
        below = [builder.location(frame) for frame in share.stack]
        if share.node == GARBAGE:
            values = (share.bytes, share.samples, 0, 0)
        else:
            values = (0, share.samples, share.objects, share.bytes)
        builder.add_stack([*above, *below], values, labels)
    return builder.to_bytes()


def _way(tree: PathTree, node: int) -> list[int]:
    """Return the node and all above it but the virtual root; parents have smaller numbers, so it ends."""
    way = []
    while node:
        way.append(node)
        node = int(tree.parent[node])
    return way
