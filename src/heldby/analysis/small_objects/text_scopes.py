"""Which values a holder's data would be kept as texts of: one for each element of the container on its path.

A *scope* is a path whose own objects are containers (maps, backing arrays); its units are their elements. Of the
paths on the way to a holder the outermost is taken whose elements keep at most `LARGEST_UNIT` bytes each on
average: a text is read and written as a whole, so that a text of many megabytes serves nobody. Where no
container is on the way (linked lists, trees, sync.Map), each object of a path is a unit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.analysis.holding.containers import entry_counts
from heldby.analysis.holding.holder_tree import HolderTree
from heldby.golang.texts.unit_kernels import CONTAINER, HEAD, list_entries
from heldby.golang.texts.value_walk_kernels import Units
from heldby.golang.types import type_scan as scan
from heldby.golang.types.type_layout import is_map_group
from heldby.golang.types.types import KIND_BUCKET_MAP, KIND_MAP, STRING_DATA, TypeTable
from heldby.heap.object_use import ObjectUse, map_innards
from heldby.heap.value_walk import ValueWalk

LARGEST_UNIT: Final = 1 << 16
_FEWEST_UNITS: Final = 16
_STRETCH: Final = 1 << 16
# What an object is for the container that it is a part of.
_NO_PART, _MAP_HEADER, _MAP_INNARD, _ARRAY = range(4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """A path whose values could be kept as texts.

    Attributes:
        path: the path.
        units: how many values there are.
        containers: vertices of its containers' parts; empty where each of `heads` is a unit.
        heads: vertices that are units themselves.
    """

    path: int
    units: int
    containers: NDArray[np.uint32]
    heads: NDArray[np.uint32]


class ScopeFinder:
    """Finds the scopes of paths, and their units.

    Args:
        tree: the paths.
        use: how far arrays are used.
        walk: knows how maps are laid out.
        paths: the holders' paths; what lies on the way to them is looked at, once for all.
    """

    def __init__(self, tree: HolderTree, use: ObjectUse, walk: ValueWalk, paths: list[int]) -> None:
        self._tree = tree
        self._use = use
        self._walk = walk
        self._types = tree.heap.naming.types
        self._parts = _parts_of_types(self._types.layouts.types)
        wanted = np.zeros(tree.paths.path_count, np.bool_)
        wanted[[step for path in paths for step in tree.way(path)]] = True
        wanted[0] = False
        self._vertices, self._path_of = self._container_parts(wanted)
        self._part = self._part_of(self._vertices)

    def scope_of(self, path: int) -> Scope | None:
        """Return the scope that a holder's path lies in, None where there is none."""
        for step in reversed(self._tree.way(path)):
            for found in (self._containers_at(step), self._heads_at(step)):
                if found is not None and self._is_handy(step, found.units):
                    return found
        return None

    def marks(self, scope: Scope) -> NDArray[np.uint8]:
        """Return the marks of all vertices for `assign_heads`."""
        mark = np.zeros(self._tree.heap.graph.node_count, np.uint8)
        mark[scope.heads] = HEAD
        mark[scope.containers] = CONTAINER
        return mark

    def units(self, scope: Scope, every: int) -> Units:
        """Return every n-th value of a scope; 16 bytes for each, and 8 for each entry of maps."""
        if scope.heads.size:
            heads = scope.heads[::every]
            numbers = self._types.packed[heads] >> np.uint32(1)
            return Units(self._start_of(heads), numbers, self._tree.heap.tree.number[heads])
        part = self._part_of(scope.containers)
        headers, arrays = scope.containers[part == _MAP_HEADER], scope.containers[part == _ARRAY]
        blocks = [*self._map_units(headers, every), *self._array_units(arrays, every)]
        addrs = np.concatenate([np.zeros(0, np.uint64), *(block[0] for block in blocks)])
        numbers = np.array([block[1] for block in blocks], np.uint32)
        types = np.repeat(numbers, np.array([block[0].size for block in blocks], np.int64))
        return Units(addrs, types, np.zeros(addrs.size, np.uint32))

    def _is_handy(self, path: int, units: int) -> bool:
        retained = int(self._tree.paths.retained[path])
        return units >= _FEWEST_UNITS and retained <= LARGEST_UNIT * units

    def _container_parts(self, wanted: NDArray[np.bool_]) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Return the parts of containers on the wanted paths, and their paths; a stretch at a time."""
        vertices, paths = [np.zeros(0, np.uint32)], [np.zeros(0, np.uint32)]
        for found, path in self._stretches(wanted):
            kept = self._part_of(found) != _NO_PART
            vertices.append(found[kept])
            paths.append(path[kept])
        return np.concatenate(vertices), np.concatenate(paths)

    def _stretches(
        self, wanted: NDArray[np.bool_]
    ) -> Iterator[tuple[NDArray[np.uint32], NDArray[np.uint32]]]:
        """Yield the objects on the wanted paths and their paths: all at once would take 20 bytes an object."""
        tree, heap = self._tree, self._tree.heap
        for low in range(0, heap.tree.reached_count, _STRETCH):
            path = tree.paths.path_of[low : low + _STRETCH]
            chosen = np.flatnonzero(wanted[path])
            vertices = heap.tree.order[low : low + _STRETCH][chosen]
            kept = vertices <= np.uint32(heap.object_count)
            yield vertices[kept], path[chosen[kept]]

    def _part_of(self, vertices: NDArray[np.uint32]) -> NDArray[np.uint8]:
        packed = self._types.packed[vertices]
        part = self._parts[packed >> np.uint32(1)]
        runs = (part == _NO_PART) & (packed & np.uint32(1)).astype(np.bool_)
        runs &= packed >> np.uint32(1) != STRING_DATA
        return np.where(runs, _ARRAY, part).astype(np.uint8)

    def _containers_at(self, path: int) -> Scope | None:
        here = (self._path_of == path) & (self._part != _NO_PART)
        vertices, part = self._vertices[here], self._part[here]
        if not vertices.size:
            return None
        units = self._entries(vertices[part == _MAP_HEADER]) + int(
            self._lengths(vertices[part == _ARRAY]).sum()
        )
        return Scope(path=path, units=units, containers=vertices, heads=np.zeros(0, np.uint32))

    def _heads_at(self, path: int) -> Scope | None:
        """Return the objects of a path that are values of the type that the path is named by."""
        number = self._tree.type_of(path)
        if (
            not number
            or number & 1
            or number >> 1 >= self._parts.size
            or self._parts[number >> 1] != _NO_PART
        ):
            return None
        if not self._is_handy(path, int(self._tree.paths.objects[path])):
            return None  # fewer of them can only be larger
        wanted = np.zeros(self._tree.paths.path_count, np.bool_)
        wanted[path] = True
        heads = np.concatenate(
            [found[self._types.packed[found] == np.uint32(number)] for found, _ in self._stretches(wanted)]
        )
        return Scope(path=path, units=heads.size, containers=np.zeros(0, np.uint32), heads=heads)

    def _entries(self, headers: NDArray[np.uint32]) -> int:
        return int(entry_counts(self._tree.heap, headers).sum())

    def _lengths(self, arrays: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Return the elements of backing arrays that are in use; of those without a header, all."""
        heap = self._tree.heap
        size = np.maximum(self._types.layouts.types.size[self._types.packed[arrays] >> np.uint32(1)], 1)
        spans = heap.objects.spans
        span = heap.objects.span[arrays]
        room = spans.elemsize[span].astype(np.int64) - np.where(spans.has_headers[span], 8, 0)
        used = self._use.used[arrays].astype(np.int64)
        known = (used > 0) & (used < 0xFFFFFFFF)
        found: NDArray[np.int64] = np.minimum(np.where(known, used - 1, room), room) // size
        return found

    def _start_of(self, objects: NDArray[np.uint32]) -> NDArray[np.uint64]:
        """Return where the values of objects start: behind the malloc header."""
        found = self._tree.heap.objects
        lead = np.where(found.spans.has_headers[found.span[objects]], 8, 0)
        return found.addr[objects] + lead.astype(np.uint64)

    def _map_units(self, headers: NDArray[np.uint32], every: int) -> list[tuple[NDArray[np.uint64], int]]:
        heap = self._tree.heap
        numbers = self._types.packed[headers] >> np.uint32(1)
        blocks = []
        for number in np.unique(numbers).tolist():
            row = self._walk.map_row(number)
            if row is None:
                continue
            mine = headers[numbers == number]
            addrs = heap.objects.addr[mine]
            room = min(
                self._entries(mine) + 1024, int(self._tree.paths.retained[0])
            )  # an entry takes a byte at least
            out = np.zeros(room, np.uint64)
            size, base, stride = (np.uint64(row[at]) for at in (0, 5, 6))
            count = int(list_entries(self._walk.memory, addrs, self._walk.maps, size, base, stride, out))
            blocks.append((out[: min(count, room) : every], self._walk.stored_element(number)))
        return blocks

    def _array_units(self, arrays: NDArray[np.uint32], every: int) -> list[tuple[NDArray[np.uint64], int]]:
        numbers = self._types.packed[arrays] >> np.uint32(1)
        blocks = []
        for number in np.unique(numbers).tolist():
            mine = arrays[numbers == number]
            lengths = self._lengths(mine)
            ends = np.cumsum(lengths)
            chosen = np.arange(0, int(lengths.sum()), every, dtype=np.int64)
            array = np.searchsorted(ends, chosen, side="right")
            within = chosen - (ends - lengths)[array]
            size = int(self._types.layouts.types.size[number])
            addrs = self._start_of(mine)[array] + (within * size).astype(np.uint64)
            blocks.append((addrs, number))
        return blocks


def _parts_of_types(types: TypeTable) -> NDArray[np.uint8]:
    """Return for each type what part of a map its objects are."""
    part = np.where(map_innards(types), _MAP_INNARD, _NO_PART).astype(np.uint8)
    part[np.isin(types.kind, (KIND_MAP, KIND_BUCKET_MAP))] = _MAP_HEADER
    for number in np.flatnonzero(types.kind == scan.STRUCT).tolist():
        if is_map_group(types.name(number)):
            part[number] = _MAP_INNARD
    return part
