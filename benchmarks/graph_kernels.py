"""Seconds, references a second and bytes an object of the graph kernels, on synthetic heaps.

    .venv/bin/python benchmarks/graph_kernels.py [MILLIONS ...] [--shuffled]

The heaps (1, 5 and 20 M objects unless told otherwise) are made up to a real one's shares: 1.93 references
an object, 59 % leaves, 80 % with one referrer, a few with very many, lists, 5,000 roots, ids in order of
allocation. With --shuffled ids are random: no locality at all, the worst case. Each size runs in a process of
its own, with kernels compiled before. Memory is what is resident beyond the graph and the sizes (VmHWM, reset
before each step). CPU seconds say more on a busy machine.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from heldby.graph.csr import Graph, from_edges
from heldby.graph.dominators import direct_edges, dominators, retained, tops
from heldby.graph.merged import merged
from heldby.graph.owners import owners
from heldby.graph.reach import retained_of_set, shortest_paths

ROOTS = 5_000


def synthetic(count: int, *, shuffled: bool = False, seed: int = 1) -> tuple[Graph, np.ndarray, np.ndarray]:
    """Return a graph of `count` objects and the root, their sizes, and a type for each."""
    rng = np.random.default_rng(seed)
    ids = np.arange(count, dtype=np.int64)
    inner = rng.random(count) < 0.41
    inner[:ROOTS] = True
    nearest_inner = np.maximum.accumulate(np.where(inner, ids, 0))

    far = rng.random(count) < 0.1
    back = np.where(far, rng.random(count) * ids, np.minimum(rng.geometric(0.05, count), ids)).astype(
        np.int64
    )
    holder = nearest_inner[np.maximum(ids - 1 - back, 0)]
    for start in rng.integers(ROOTS, max(count - 70_000, ROOTS + 1), 4):  # four lists of 60,000
        links = ids[start : start + 60_000][inner[start : start + 60_000]]
        holder[links[1:]] = links[:-1]
    held = ids[ROOTS:][rng.random(count - ROOTS) > 0.01]  # the others are garbage

    extra = int(0.93 * count)
    sources = nearest_inner[rng.integers(0, count, extra)]
    aims = sources + np.round(rng.normal(0, 2000, extra)).astype(np.int64)
    popular = rng.random(extra) < 0.2
    aims[popular] = (rng.zipf(1.3, int(popular.sum())) * 977) % count
    aims = aims % count // 5 * 5  # only every fifth object is referred to twice

    sources = np.concatenate([np.zeros(ROOTS, np.int64), holder[held] + 1, sources + 1])
    targets = np.concatenate([ids[:ROOTS], held, aims]) + 1
    if shuffled:
        names = np.concatenate([[0], rng.permutation(count) + 1])
        sources, targets = names[sources], names[targets]
    graph, _ = from_edges(count + 1, sources.astype(np.uint32), targets.astype(np.uint32))
    sizes = rng.choice(np.array([16, 24, 32, 48, 64, 128, 256], np.uint32), count + 1)
    types = rng.zipf(1.5, count + 1).clip(1, 300).astype(np.uint32)
    return graph, sizes, types


def resident(field: str) -> int:
    """Return VmRSS or VmHWM in bytes."""
    with Path("/proc/self/status").open() as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))


def steps(graph: Graph, sizes: np.ndarray, types: np.ndarray, report: Callable[..., Any]) -> None:
    """Run every step of an analysis on the graph, as an analysis would."""
    report("shortest_paths", lambda: shortest_paths(graph))
    tree = report("dominators", lambda: dominators(graph))
    report("retained", lambda: retained(tree, sizes))
    top = report("tops", lambda: tops(tree))
    report("owners", lambda: owners(graph, tree, top))
    report("direct_edges", lambda: direct_edges(graph, tree))
    step = types[tree.order]
    report("merged", lambda: merged(tree, step, sizes))
    members = np.zeros(graph.node_count, bool)
    members[1:ROOTS] = True
    report("retained_of_set", lambda: retained_of_set(graph, sizes, members))


def measure(folder: Path) -> None:
    """Print a table for the graph in `folder`."""
    steps(*synthetic(3 * ROOTS), lambda _, work: work())  # loads or compiles the kernels
    graph = Graph(np.load(folder / "offsets.npy"), np.load(folder / "targets.npy"))
    sizes, types = np.load(folder / "sizes.npy"), np.load(folder / "types.npy")
    objects, edges = graph.node_count - 1, graph.edge_count
    given = graph.offsets.nbytes + graph.targets.nbytes + sizes.nbytes
    print(f"{objects:,} objects, {edges:,} references; graph and sizes {given / objects:.1f} B/object")
    print(f"  {'step':<16}{'s':>8}{'s CPU':>8}{'M refs/s CPU':>14}{'B/object at peak':>18}{'kept':>7}")

    def report(name: str, work: Callable[[], Any]) -> Any:
        before = resident("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")
        started, started_cpu = time.perf_counter(), time.process_time()
        result = work()
        seconds, cpu = time.perf_counter() - started, time.process_time() - started_cpu
        peak, kept = (resident("VmHWM") - before) / objects, (resident("VmRSS") - before) / objects
        print(
            f"  {name:<16}{seconds:8.3f}{cpu:8.3f}{edges / cpu / 1e6:14.0f}{peak:18.1f}{kept:7.1f}",
            flush=True,
        )
        return result

    steps(graph, sizes, types, report)


def main() -> None:
    """Make each graph, and measure it in a fresh process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("millions", nargs="*", type=float, default=[1, 5, 20])
    parser.add_argument("--shuffled", action="store_true")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.measure)
        return
    for millions in arguments.millions:
        with tempfile.TemporaryDirectory() as folder:
            graph, sizes, types = synthetic(int(millions * 1e6), shuffled=arguments.shuffled)
            arrays = {"offsets": graph.offsets, "targets": graph.targets, "sizes": sizes, "types": types}
            for name, array in arrays.items():
                np.save(Path(folder, name), array)
            del graph, sizes, types, arrays
            # With a fixed threshold, malloc gives freed arrays back at once: what is resident is what is used.
            environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
            subprocess.run([sys.executable, __file__, "--measure", folder], env=environment, check=True)


if __name__ == "__main__":
    main()
