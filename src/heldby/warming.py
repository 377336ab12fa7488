"""Compiling kernels in a second process while the first run ever does its work.

The first run on a machine compiles every kernel, one after the other: Numba compiles under one lock. Half of
them need no heap to be called: the code scanner and the graph. A second process calls these on next to nothing,
which fills the cache that both share, while the first is busy with spans, stacks and types.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from contextlib import suppress

import numpy as np

from heldby.binary.code_references import code_functions, scan_code
from heldby.errors import Unsupported
from heldby.graph.csr import from_edges
from heldby.graph.deferral import defer_ways
from heldby.graph.dominators import direct_edges, dominators, first_referrers, tops
from heldby.graph.merged import merged
from heldby.graph.owners import owners
from heldby.graph.predecessors import predecessors


def start_warming() -> subprocess.Popen[bytes]:
    """Start the second process; it ends by itself, or with the first at the latest."""
    return subprocess.Popen(
        [sys.executable, "-m", "heldby.warming"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def compile_ahead() -> None:
    """Call the kernels that need no heap, largest first."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), "")
    functions = code_functions([("main.main", 4096), ("runtime.newobject", 4128)])
    with suppress(Unsupported):
        scan_code(np.full(64, 0x90, np.uint8), 4096, machine, (8192, 12288), functions)
    # 0 -> {1, 2}, both -> 3 -> 4: a vertex that two ways share, one with a direct edge, one without.
    sources = np.array([0, 0, 1, 2, 3, 1], np.uint32)
    targets = np.array([1, 2, 3, 3, 4, 4], np.uint32)
    graph, _ = from_edges(5, sources, targets)
    defer_ways(graph, np.array([1], np.uint32), np.zeros(5, np.uint8))
    tree = dominators(graph)
    via, _ = first_referrers(graph, tree, direct_edges(graph, tree))
    top = tops(tree)
    owners(graph, tree, top, np.arange(tree.reached_count, dtype=np.uint32))
    merged(tree, np.ones(tree.reached_count, np.uint64), np.ones(5, np.int64), via=via)
    predecessors(graph, tree, np.array([4], np.uint32))


if __name__ == "__main__":
    compile_ahead()
