"""The fields of many values of one type as columns: nested fields, through pointers too, without a loop over values.

A `Node` is a field; a `Leaf` is a column that it has. What fields are called in a query:

- a number, bool, string, time: the field itself;
- a struct, or a pointer to one: ``.Field`` of it; of a pointer also ``.addr``;
- a slice ``.len``, ``.cap`` and ``.addr``; a map or channel ``.len`` and ``.addr``, a channel ``.cap``: 0 of a nil one,
  which by itself is unknown all the same;
- an interface ``.type`` and ``.addr``; a func or unsafe.Pointer ``.addr``.

Arrays and complex numbers have no columns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from heldby.golang.layouts.layout import Layout
from heldby.golang.types import type_scan as scan
from heldby.golang.types.type_layout import is_atomic_pointer
from heldby.golang.types.types import KIND_BUCKET_MAP, KIND_CHANNEL, KIND_MAP, Field, GoType, TypeTable

BOOL, SIGNED, UNSIGNED, REAL, TEXT, TIME, ADDRESS, DYNAMIC, COUNT = range(9)
_SIZES: Final = {2: 8, 3: 1, 4: 2, 5: 4, 6: 8, 7: 8, 8: 1, 9: 2, 10: 4, 11: 8, 12: 8, 13: 4, 14: 8}
_MOST_NODES: Final = 4096
_MOST_NESTED: Final = 32
_SWISS: Final = "internal/runtime/maps.Map"


@dataclass(frozen=True, slots=True)
class Leaf:
    """A column.

    Attributes:
        what: BOOL, SIGNED, ... of this module.
        hops: offsets of the pointers on the way; a nil pointer makes the value unknown.
        offset: of the value behind the last of them.
        size: bytes of a number.
        type: of an interface its type number.
        nil_is_zero: a nil pointer on the last hop means 0, as ``len`` of a nil map is.
    """

    what: int
    hops: tuple[int, ...]
    offset: int
    size: int = 8
    type: int = 0
    nil_is_zero: bool = False


@dataclass(slots=True)
class Node:
    """A field: a column, or what is below it by name.

    Attributes:
        name: of the field, made different from its neighbours' as SQL tells them apart.
        leaf: its column; None when it has parts.
        parts: by name, in order.
        nil: the column whose being unknown means that there is none of the parts; None where there always are.
        itself: the column whose being unknown makes the field unknown but not its parts: ``len`` of a nil map is 0.
    """

    name: str
    leaf: Leaf | None = None
    parts: list[Node] = field(default_factory=list)
    nil: Leaf | None = None
    itself: Leaf | None = None


Wanted = Callable[[str], bool]


class FieldNodes:
    """Makes the nodes of types.

    Args:
        types: the types.
        layout: of the runtime.
        wanted: whether a name matters; what is behind a pointer is looked at only for names that do.
    """

    def __init__(self, types: TypeTable, layout: Layout, wanted: Wanted) -> None:
        self._types = types
        self._layout = layout
        self._wanted = wanted
        self._left = _MOST_NODES

    def of(self, number: int) -> list[Node]:
        """Return the fields of a type; of one that is no struct a single node called ``value``, or its parts."""
        of = self._types[number]
        node = self._header(of) or self._node("value", number, (), 0, 0)
        return node.parts if node.parts and node.nil is None else [node]

    def _header(self, of: GoType) -> Node | None:
        """Return what is known of a map's or channel's own memory."""
        if of.kind in (KIND_MAP, KIND_BUCKET_MAP):
            length = Leaf(COUNT, (), self._map_length(of.kind == KIND_BUCKET_MAP))
            return Node("value", parts=[Node("len", length)])
        if of.kind == KIND_CHANNEL:
            return Node("value", parts=self._channel(()))
        return None

    def _map_length(self, buckets: bool) -> int:
        return (
            self._layout.offset("runtime.hmap", "count") if buckets else self._layout.offset(_SWISS, "used")
        )

    def _channel(self, hops: tuple[int, ...]) -> list[Node]:
        names = (("len", "qcount"), ("cap", "dataqsiz"))
        return [
            Node(name, Leaf(COUNT, hops, self._layout.offset("runtime.hchan", of), nil_is_zero=True))
            for name, of in names
        ]

    def _node(self, name: str, number: int, hops: tuple[int, ...], offset: int, depth: int) -> Node:
        self._left -= 1
        of = self._types[number]
        node = Node(name)
        if self._left < 0 or depth > _MOST_NESTED:
            return node
        if of.kind == 1:
            node.leaf = Leaf(BOOL, hops, offset, 1)
        elif of.kind in _SIZES:
            what = REAL if of.kind >= 13 else SIGNED if of.kind <= 6 else UNSIGNED
            node.leaf = Leaf(what, hops, offset, _SIZES[of.kind])
        elif of.kind == scan.STRING:
            node.leaf = Leaf(TEXT, hops, offset)
        elif of.name == "time.Time":
            node.leaf = Leaf(TIME, hops, offset)
        elif of.kind == scan.STRUCT:
            self._struct(node, of, hops, offset, depth)
        else:
            self._leading(node, number, of, hops, offset, depth)
        return node

    def _struct(self, node: Node, of: GoType, hops: tuple[int, ...], offset: int, depth: int) -> None:
        held = next((each for each in of.fields if each.name == "v"), None)
        if held is not None and of.name.startswith(("atomic.", "sync/atomic.")):
            inner = self._node(node.name, self._atomic(of, held), hops, offset + held.offset, depth + 1)
            node.leaf, node.parts, node.nil = inner.leaf, inner.parts, inner.nil
            if node.leaf is not None and of.name == "atomic.Bool":
                node.leaf = Leaf(BOOL, hops, offset + held.offset, 1)
            return
        promoted = []
        for each in of.fields:
            if each.name == "_" or not each.type:
                continue
            inner = self._node(each.name, each.type, hops, offset + each.offset, depth + 1)
            if inner.leaf is None and not inner.parts:
                continue
            _add(node.parts, inner)
            if each.embedded and inner.nil is None:
                promoted += inner.parts
        taken = {part.name.lower() for part in node.parts}
        node.parts += [part for part in promoted if part.name.lower() not in taken]

    def _atomic(self, of: GoType, held: Field) -> int:
        """Return the type of what an atomic holds: ``_ [0]*T`` names that of an atomic.Pointer[T]."""
        if not is_atomic_pointer(of.name):
            return held.type
        named = (self._types[each.type] for each in of.fields)
        return next((each.elem for each in named if each.kind == scan.ARRAY and not each.length), held.type)

    def _leading(
        self, node: Node, number: int, of: GoType, hops: tuple[int, ...], offset: int, depth: int
    ) -> None:
        addr = Leaf(ADDRESS, hops, offset)
        below = (*hops, offset)
        if of.kind == scan.POINTER:
            node.nil = addr
            if self._wanted(node.name) and of.elem:
                inner = self._node(node.name, of.elem, below, 0, depth + 1)
                node.parts = inner.parts or ([Node("value", inner.leaf)] if inner.leaf else [])
        elif of.kind == scan.SLICE:
            node.itself = addr
            node.parts = [
                Node("len", Leaf(COUNT, hops, offset + 8)),
                Node("cap", Leaf(COUNT, hops, offset + 16)),
            ]
        elif of.kind == scan.MAP:
            node.itself = addr
            buckets = self._types.made_of_buckets(number)
            node.parts = [Node("len", Leaf(COUNT, below, self._map_length(buckets), nil_is_zero=True))]
        elif of.kind == scan.CHAN:
            node.itself = addr
            node.parts = self._channel(below)
        elif of.kind == scan.INTERFACE:
            node.nil = addr
            node.parts = [Node("type", Leaf(DYNAMIC, hops, offset, type=number))]
            addr = Leaf(ADDRESS, hops, offset + 8)
        elif of.kind in (scan.FUNC, scan.UNSAFE_POINTER):
            node.nil = addr
        else:
            return
        if all(part.name.lower() != "addr" for part in node.parts):
            node.parts.append(Node("addr", addr))


def _add(parts: list[Node], node: Node) -> None:
    """Add a part; SQL does not tell ``name`` from ``Name``, so the second is ``name_2``."""
    taken = {part.name.lower() for part in parts}
    name, number = node.name, 2
    while node.name.lower() in taken:
        node.name, number = f"{name}_{number}", number + 1
    parts.append(node)
