"""Small random graphs of the shapes that heaps have, and slow, obvious answers to compare with."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from heldby.graph.csr import NONE, Graph, from_edges

Edges = list[tuple[int, int]]


def graph_of(node_count: int, edges: Edges) -> Graph:
    """Return the graph of `edges`."""
    pairs = np.array(edges, np.uint32).reshape(-1, 2)
    return from_edges(node_count, pairs[:, 0], pairs[:, 1])[0]


def _some(rng: np.random.Generator, nodes: int, count: int) -> Edges:
    return list(
        zip(rng.integers(0, nodes, count).tolist(), rng.integers(0, nodes, count).tolist(), strict=True)
    )


def sparse(rng: np.random.Generator, nodes: int) -> Edges:
    return _some(rng, nodes, nodes + int(rng.integers(0, nodes)))


def dense(rng: np.random.Generator, nodes: int) -> Edges:
    return _some(rng, nodes, nodes * int(rng.integers(3, 8)))


def acyclic(rng: np.random.Generator, nodes: int) -> Edges:
    return [(min(a, b), max(a, b)) for a, b in _some(rng, nodes, 2 * nodes) if a != b]


def lists_with_back_edges(rng: np.random.Generator, nodes: int) -> Edges:
    forwards = [(v, v + 1) for v in range(nodes - 1) if rng.random() < 0.9]
    backwards = [(v + 1, v) for v in range(nodes - 1) if rng.random() < 0.5]
    return forwards + backwards + _some(rng, nodes, int(rng.integers(1, 5)))


def diamonds(rng: np.random.Generator, nodes: int) -> Edges:
    edges, tip = [], 0
    for v in range(1, nodes - 2, 3):
        edges += [(tip, v), (tip, v + 1), (v, v + 2), (v + 1, v + 2)]
        tip = v + 2 if rng.random() < 0.8 else v
    return edges + _some(rng, nodes, int(rng.integers(0, 4)))


def tree_with_cross_edges(rng: np.random.Generator, nodes: int) -> Edges:
    return [(int(rng.integers(0, v)), v) for v in range(1, nodes)] + _some(rng, nodes, nodes // 3)


def disconnected(rng: np.random.Generator, nodes: int) -> Edges:
    half = max(nodes // 2, 1)
    return _some(rng, half, half * 2) + [(half + a, b) for a, b in _some(rng, nodes - half, nodes)]


FAMILIES: list[Callable[[np.random.Generator, int], Edges]] = [
    sparse,
    dense,
    acyclic,
    lists_with_back_edges,
    diamonds,
    tree_with_cross_edges,
    disconnected,
]


def random_graphs(seed: int, each: int, most_nodes: int = 40) -> Iterator[tuple[str, int, Edges]]:
    """Yield `each` graphs of every family as (name, node count, edges)."""
    rng = np.random.default_rng(seed)
    for family in FAMILIES:
        for _ in range(each):
            nodes = int(rng.integers(2, most_nodes))
            yield family.__name__, nodes, family(rng, nodes)


def reached_without(node_count: int, edges: Edges, removed: frozenset[int] = frozenset()) -> set[int]:
    """Return what node 0 reaches when the nodes of `removed` are gone."""
    followers: dict[int, list[int]] = {}
    for a, b in edges:
        followers.setdefault(a, []).append(b)
    seen, waiting = set(), [] if 0 in removed else [0]
    while waiting:
        v = waiting.pop()
        if v not in seen:
            seen.add(v)
            waiting += [w for w in followers.get(v, []) if w not in removed]
    return seen


def brute_force_idoms(node_count: int, edges: Edges) -> list[int]:
    """Return the immediate dominators by removing each node in turn; NONE when unreachable."""
    everything = reached_without(node_count, edges)
    below = {v: everything - reached_without(node_count, edges, frozenset([v])) - {v} for v in everything}
    result = [NONE] * node_count
    for w in everything:
        # Of w's dominators, the nearest is the one that dominates the fewest.
        result[w] = min((v for v in everything if w in below[v]), key=lambda v: len(below[v]), default=0)
    return result
