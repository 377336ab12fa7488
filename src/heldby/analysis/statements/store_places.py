"""The containers on the way to a holder: a map, slice, channel or list, and the field or variable it lies in.

``main.manager.paths[*].Seen[*]`` passes two: the slice in field ``Seen`` of ``main.Baseline``, and the map in
field ``paths`` of ``main.BaselineManager``. Whoever stores into the nearest one keeps the data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from heldby.analysis.holding.holder_tree import HolderTree
from heldby.golang.functions.functions import package_of
from heldby.golang.types import type_scan as scan
from heldby.golang.types.types import (
    FIRST_DESCRIPTOR,
    KIND_BUCKET_MAP,
    KIND_CHANNEL,
    KIND_MAP,
    MAP_PARTS,
    GoType,
    TypeTable,
)
from heldby.heap.heap import Heap

Container = Literal["map", "slice", "channel", "list", "sync map", "field"]
_NAMES: Final[dict[Container, str]] = {"list": "list.List", "sync map": "sync.Map"}
_MAX_STEPS: Final = 64
_FIELD: Final = re.compile(r"\.([\w\u0080-\uffff]+)(?:\[(?:\*|key)\]|\)\*)*$")
_NAMELESS: Final = re.compile(r"(?:module\d+\.)?(?:data|bss)\+0x[0-9a-f]+")
_PARTED: Final = frozenset({KIND_CHANNEL, *MAP_PARTS})
_PARTS: Final = ("map.group[", "noalg.map.group[", "map.bucket[", "noalg.map.bucket[")
_LISTS: Final = ("container/list.", "list.List", "list.Element")
_SYNC_MAPS: Final = ("sync.Map", "sync.HashTrieMap", "sync.indirect[", "sync.entry[", "sync.node[")


@dataclass(frozen=True, slots=True, kw_only=True)
class StorePlace:
    """A container and where it lies.

    Attributes:
        path: the signature up to it.
        container: what it is.
        type: type number of the map; of the elements for a slice; 0 otherwise.
        type_name: the same in words: ``map[string]int``, ``[]string``.
        owner_type: type number of the object that it lies in; 0 when that is none, or unknown.
        owner: name of the struct type that it is a field of, ``main.Baseline``; empty when there is none.
        package: import path of that type's package, empty when unknown.
        field: name of the field, or of the variable without its package; empty when unknown.
        offset: of the slot in the owner; None when unknown.
        address: of the slot, where it lies in a variable; None otherwise.
        recursive: of a plain field: it leads to what has such a field itself.
        in_container: of a plain field: what has it is an element of a container, one of many.
    """

    path: str
    container: Container
    type: int
    type_name: str
    owner_type: int = 0
    owner: str = ""
    package: str = ""
    field: str = ""
    offset: int | None = None
    address: int | None = None
    recursive: bool = False
    in_container: bool = False


def store_places(tree: HolderTree, path: int) -> Iterator[StorePlace]:
    """Yield the containers on the way to `path`, nearest first, then the plain fields and variables likewise.

    A container is what grows; a field keeps one thing. But a field whose struct leads to itself, as in a list made by
    hand, grows too, and comes among the containers. Reads the references of a few vertices.
    """
    plain: list[StorePlace] = []
    places = list(_places(tree, path))
    for number, place in enumerate(places):
        if place.container != "field":
            yield place
            continue
        further = any(other.container != "field" for other in places[number + 1 :])
        known = replace(place, in_container=further)
        if known.recursive:
            yield known
        else:
            plain.append(known)
    yield from plain


def _places(tree: HolderTree, path: int) -> Iterator[StorePlace]:
    if not int(tree.paths.parent[path]):
        path = _largest_child(tree, path)
    standard: Container | None = None  # the steps so far lie inside of such a container
    for _ in range(_MAX_STEPS):
        kind, _, low = tree.step(path)
        if kind == "root" and tree.root_kind(path) == "global":
            yield from _variable(tree, path, standard)
        if kind not in ("field", "via"):
            return
        above = low if kind == "via" else int(tree.paths.parent[path])
        standard = _standard(_type_name(tree, path)) or standard
        outside = tree.step(above)[0] != "root" and _standard(_type_name(tree, above)) is None
        if standard is not None and outside:
            place = _place(tree, path, standard, 0, _NAMES[standard])
            standard = None
            if place is not None:
                yield place
        elif standard is None and (found := _container(tree.heap, tree.type_of(path))) is not None:
            place = _place(tree, path, *found)
            if place is not None:
                yield place
        elif standard is None:
            place = _plain(tree, path)
            if place is not None:
                yield place
        path = above


def _largest_child(tree: HolderTree, path: int) -> int:
    offsets, children = tree.paths.children()
    below = children[offsets[path] : offsets[path + 1]]
    return int(below[0]) if below.size else path


def _type_name(tree: HolderTree, path: int) -> str:
    number = tree.type_of(path)
    return tree.heap.naming.type_name(number) if number else ""


def _standard(name: str) -> Container | None:
    bare = name.lstrip("*[]")
    if bare.startswith(_LISTS):
        return "list"
    return "sync map" if bare.startswith(_SYNC_MAPS) else None


def _is_part(types: TypeTable, number: int) -> bool:
    """Tell whether values of this type are channels or parts of maps: arrays below them are no slices."""
    return int(types.kind[number]) in _PARTED or types.display_name(number).startswith(_PARTS)


def _container(heap: Heap, packed: int) -> tuple[Container, int, str] | None:
    """Return what objects of a type are to the slot that refers to them."""
    if not packed or packed >> 31 or packed >> 1 < FIRST_DESCRIPTOR:
        return None
    types = heap.naming.types.layouts.types
    number = packed >> 1
    kind = int(types.kind[number])
    if packed & 1:
        return "slice", number, f"[]{types.display_name(number)}"
    if kind in (KIND_MAP, KIND_BUCKET_MAP):
        base = int(types[number].elem)
        return "map", base, types.display_name(base)
    if kind == KIND_CHANNEL:
        return "channel", 0, types.display_name(number)
    return None


def _plain(tree: HolderTree, path: int) -> StorePlace | None:
    """Return the field or variable that refers to the objects of `path` without any container."""
    types = tree.heap.naming.types.layouts.types
    if not tree.label(path):
        return None
    slot = _slot(tree, path)
    owner = types[slot.owner] if slot.owner else None
    if owner is not None and (not owner.fields or _is_part(types, slot.owner)):
        return None
    if slot.address is None and (owner is None or slot.offset is None):
        return None
    place = _place(tree, path, "field", 0, _type_name(tree, path))
    target = tree.type_of(path)
    same = not target >> 31 and target >> 1 == slot.owner
    return replace(place, recursive=same) if place is not None else None


def _variable(tree: HolderTree, path: int, standard: Container | None) -> Iterator[StorePlace]:
    """Yield the container that a global variable itself is, if it is one."""
    heap = tree.heap
    node = int(heap.tree.order[tree.paths.first[path]]) - heap.object_count - 1
    row = int(heap.roots.item[node])
    if row < 0:
        return
    start, number = int(heap.variables.start[row]), int(heap.variables.types[row])
    found = (standard, 0, _NAMES[standard]) if standard is not None else _of_variable(heap, number)
    if found is None:
        slots = np.flatnonzero((heap.roots.slot_node == node) & (heap.roots.slot_addr == start))
        if slots.size:
            target = heap.naming.type_at(int(heap.roots.slot_target[slots[0]]))
            found = _container(heap, target) or ("field", 0, heap.naming.type_name(target))
    if found is not None:
        name = heap.variables.names[row]
        field = "" if heap.variables.nameless[row] else name.rpartition(".")[2]
        yield StorePlace(
            path=tree.text(path).strip(),
            container=found[0],
            type=found[1],
            type_name=found[2],
            package="" if heap.variables.nameless[row] else package_of(name),
            field=field,
            address=start,
        )


def _of_variable(heap: Heap, number: int) -> tuple[Container, int, str] | None:
    """Return which container a variable of type `number` is, or that it is a plain word."""
    types = heap.naming.types.layouts.types
    kind, name = int(types.kind[number]), types.display_name(number)
    if kind == scan.MAP:
        return "map", number, name
    if kind == scan.SLICE:
        return "slice", int(types.elem[number]), name
    if kind == scan.CHAN:
        return "channel", 0, name
    standard = _standard(name)
    return (standard, 0, _NAMES[standard]) if standard is not None else None


@dataclass(frozen=True, slots=True)
class _Slot:
    """The word that refers to the first object of a path: in which type, where in it, at which address."""

    owner: int = 0
    offset: int | None = None
    address: int | None = None


def _place(tree: HolderTree, path: int, container: Container, number: int, name: str) -> StorePlace | None:
    """Return the place of a container; None for the inner arrays of channels and maps."""
    types = tree.heap.naming.types.layouts.types
    slot = _slot(tree, path)
    if slot.owner and _is_part(types, slot.owner) and container == "slice":
        return None
    text = tree.text(path).strip()
    found = _FIELD.search(_NAMELESS.sub("", text))
    owner = types[slot.owner] if slot.owner else None
    is_struct = owner is not None and bool(owner.fields)
    return StorePlace(
        path=text,
        container=container,
        type=number,
        type_name=name,
        owner_type=slot.owner,
        owner=owner.name if owner is not None and is_struct else "",
        package=_package(owner) if owner is not None and is_struct else "",
        field=found[1] if found else "",
        offset=slot.offset,
        address=slot.address,
    )


def _package(owner: GoType) -> str:
    """Return the import path of a type; debug information knows it of main's only, by its name."""
    return owner.package or ("main" if owner.name.startswith("main.") else "")


def _slot(tree: HolderTree, path: int) -> _Slot:
    heap = tree.heap
    number = int(tree.paths.first[path])
    vertex, source = int(heap.tree.order[number]), int(heap.tree.order[int(heap.tree.idom[number])])
    first, last = (int(heap.graph.offsets[at]) for at in (source, source + 1))
    edges = np.flatnonzero(heap.graph.targets[first:last] == vertex)
    if not edges.size or not source:
        return _Slot()
    word = int(heap.words[first + int(edges[0])])
    if source > heap.object_count:
        roots = heap.roots
        is_global = tree.root_kind(tree.root_of(path)) == "global"
        address = int(roots.slot_addr[word]) if is_global else 0
        owner = int(roots.slot_type[word])
        return _Slot(owner, int(roots.slot_word[word]) * 8 if owner else None, address or None)
    packed = heap.naming.type_at(source)
    if packed >> 31:
        return _Slot()
    size = int(heap.naming.types.layouts.types.size[packed >> 1])
    # The slot of an object of more than 512 bytes begins with its type (runtime/mbitmap.go, malloc header).
    objects = heap.objects
    offset = word * 8 - (8 if objects.spans.has_headers[objects.span[source]] else 0)
    return _Slot(packed >> 1, offset % size if packed & 1 and size else offset)
