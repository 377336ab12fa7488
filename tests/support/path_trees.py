"""A hand-made merged dominator tree for the tests of the holder profile."""

from __future__ import annotations

import numpy as np

from heldby.profiles.holder_paths import PathTree

NODES = (
    # parent, count, shallow, retained, path, type, root kind
    (0, 0, 0, 1000, "", "", ""),
    (0, 1, 16, 800, "main.manager", "*main.BaselineManager", "global"),
    (1, 1, 48, 784, "main.manager.paths", "map[string]*main.Baseline", ""),
    (2, 4, 136, 736, "main.manager.paths[*]", "*main.Baseline", ""),
    (3, 60, 600, 600, "main.manager.paths[*].Seen[*]", "string", ""),
    (0, 1, 20, 200, "server.(*Server).gacc[*]", "server.Account[go.shape.string]", "goroutine"),
    (5, 2, 90, 90, "server.(*Server).gacc[*].left", "[]uint8", ""),
    (5, 3, 90, 90, "server.(*Server).gacc[*].right", "[]uint8", ""),
)


def small_tree() -> PathTree:
    """Return eight nodes, 1000 bytes, 72 objects: one straight path and one that forks."""
    parent, count, shallow, retained, paths, types, kinds = zip(*NODES, strict=True)
    return PathTree(
        parent=np.array(parent, np.int64),
        count=np.array(count, np.int64),
        shallow=np.array(shallow, np.int64),
        retained=np.array(retained, np.int64),
        path=paths.__getitem__,
        type_name=types.__getitem__,
        root_kind=kinds.__getitem__,
    )
