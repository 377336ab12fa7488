"""The kernels index unchecked; here they run once with Numba's bounds checks, on graphs of every family."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from heldby.graph import merged as merged_module
from heldby.graph.dominator_kernels import find_tops
from heldby.graph.dominators import direct_edges, dominators, retained, tops
from heldby.graph.merged import merged
from heldby.graph.owners import owners
from heldby.graph.reach import reachability, retained_of_set
from heldby.jit import Kernel
from tests.graph.families import graph_of, random_graphs

ROOT = Path(__file__).parents[2]


def run_checked(code: str, cache: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "NUMBA_BOUNDSCHECK": "1",
        "NUMBA_CACHE_DIR": str(cache),
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def run_everything() -> int:
    """Run every kernel on some hundred graphs, from tables so small that they must grow; return how many."""
    merged_module.FIRST_BITS = 2
    rng = np.random.default_rng(14)
    done = 0
    for _, node_count, edges in random_graphs(seed=14, each=60):
        graph = graph_of(node_count, edges)
        tree = dominators(graph)
        top = tops(tree)
        assert reachability(graph).sum() == tree.reached_count
        held, _ = retained(tree, np.ones(node_count, np.int64))
        assert held[0] == tree.reached_count
        assert direct_edges(graph, tree).size == tree.reached_count
        assert owners(graph, tree, top).shared.size <= len(edges)
        found = merged(tree, rng.integers(0, 9, tree.reached_count, np.uint64), np.ones(node_count, np.int64))
        assert found.retained[0] == tree.reached_count
        assert retained_of_set(graph, np.ones(node_count, np.int64), np.ones(node_count, bool))[1] == held[0]
        done += 1
    return done


def test_no_kernel_leaves_its_arrays(tmp_path: Path) -> None:
    code = "from tests.graph.test_checked_kernels import run_everything; print(run_everything())"

    done = run_checked(code, tmp_path)

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["420"]


def test_a_kernel_that_leaves_its_array_would_be_caught(tmp_path: Path) -> None:
    code = """
import numpy as np
import pytest
from heldby.graph.dominator_kernels import find_tops
try:
    find_tops(np.array([0, 7], np.uint32), np.empty(2, np.uint32))
except IndexError as error:
    print(error)
"""
    done = run_checked(code, tmp_path)

    assert done.returncode == 0, done.stderr
    assert "out of bounds" in done.stdout


def test_a_small_table_that_grows_gives_the_same_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(find_tops, Kernel)  # no checks: such a kernel is one of Numba's own
    rng = np.random.default_rng(15)
    for _, node_count, edges in random_graphs(seed=15, each=20):
        tree = dominators(graph_of(node_count, edges))
        step = rng.integers(0, 9, tree.reached_count, np.uint64)
        answers = []
        for bits in (2, 12):
            monkeypatch.setattr(merged_module, "FIRST_BITS", bits)
            found = merged(tree, step, np.ones(node_count, np.int64))
            answers.append([part.tolist() for part in (found.path_of, found.key, found.retained)])
        assert answers[0] == answers[1], (node_count, edges, step)
