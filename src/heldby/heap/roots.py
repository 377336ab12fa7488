"""Roots: what the collector starts from, as nodes of the graph with names.

A global variable is one node; a goroutine is one node below the node of its group (all goroutines with the
same start function). The runtime's own ways to the same objects (its variables, its system goroutines, finalizers)
are *deferred*: they name the holder only of what no user's way reaches.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

NO_GROUP: Final = 0xFFFFFFFF


class RootKind(IntEnum):
    """What a root node stands for."""

    GLOBAL = 1
    GOROUTINE = 2
    GOROUTINE_GROUP = 3
    SPECIAL = 4
    RUNTIME = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class RootTable:
    """Root nodes 0..r-1 and the pointers in them.

    Attributes:
        kind: ``uint8[r]``, `RootKind`.
        name: row of `names` for each node, ``uint32[r]``.
        group: ``uint32[r]``, the node above (a goroutine's group), NO_GROUP for none.
        deferred: ``bool[r]``: names a holder only where no other way leads.
        item: ``int64[r]``: row of the variable or goroutine that the node is, -1 for a group.
        slot_node: ``uint32[q]``, ascending: the node that a pointer lies in.
        slot_target: ``uint32[q]``, the object that it points to.
        slot_addr: ``uint64[q]``, where the pointer lies; 0 for a register.
        slot_label: ``uint32[q]``, row of `labels`: the variable's name within the node (``main.handle.req``
            in a goroutine, empty for a global variable).
        slot_word: ``uint32[q]``, index of the pointer's word within its variable.
        slot_type: ``uint32[q]``, type number of the variable, 0 for unknown.
    """

    kind: NDArray[np.uint8]
    name: NDArray[np.uint32]
    group: NDArray[np.uint32]
    deferred: NDArray[np.bool_]
    item: NDArray[np.int64]
    slot_node: NDArray[np.uint32]
    slot_target: NDArray[np.uint32]
    slot_addr: NDArray[np.uint64]
    slot_label: NDArray[np.uint32]
    slot_word: NDArray[np.uint32]
    slot_type: NDArray[np.uint32]
    names: list[str]
    labels: list[str]

    def __len__(self) -> int:
        return int(self.kind.size)

    def name_of(self, node: int) -> str:
        """Return the name of root node `node` (0..r-1)."""
        return self.names[int(self.name[node])]


@dataclass(slots=True)
class RootBuilder:
    """Collects root nodes in blocks; `build` joins them."""

    _nodes: list[
        tuple[NDArray[np.uint8], NDArray[np.uint32], NDArray[np.uint32], NDArray[np.bool_], NDArray[np.int64]]
    ]
    _slots: list[tuple[NDArray[np.generic], ...]]
    _count: int = 0
    names: dict[str, int] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)

    @classmethod
    def empty(cls) -> RootBuilder:
        """Return a builder without nodes."""
        return cls([], [])

    def label(self, text: str) -> int:
        """Return the row of a label."""
        return self.labels.setdefault(text, len(self.labels))

    def add_nodes(
        self,
        kind: RootKind,
        names: Iterable[str],
        *,
        group: NDArray[np.uint32] | None = None,
        deferred: NDArray[np.bool_] | bool = False,
        item: NDArray[np.int64] | None = None,
    ) -> int:
        """Add nodes of one kind; return the number of the first."""
        rows = np.fromiter((self.names.setdefault(name, len(self.names)) for name in names), np.uint32)
        count = rows.size
        self._nodes.append(
            (
                np.full(count, kind, np.uint8),
                rows,
                np.full(count, NO_GROUP, np.uint32) if group is None else group,
                np.broadcast_to(np.asarray(deferred, np.bool_), count),
                np.full(count, -1, np.int64) if item is None else item,
            )
        )
        first = self._count
        self._count += count
        return first

    def add_slots(
        self,
        node: NDArray[np.uint32],
        target: NDArray[np.uint32],
        addr: NDArray[np.uint64],
        label: NDArray[np.uint32],
        *,
        word: NDArray[np.uint32] | None = None,
        type_number: NDArray[np.uint32] | None = None,
    ) -> None:
        """Add pointers; those that point to no object (target 0) are left out."""
        real = target != 0
        nothing = np.zeros(target.size, np.uint32)
        words = nothing if word is None else word
        columns = (node, target, addr, label, words, nothing if type_number is None else type_number)
        self._slots.append(tuple(column[real] for column in columns))

    def build(self) -> RootTable:
        """Return the table; slots are sorted by node, otherwise in the order they were added."""
        kind, name, group, deferred, item = (
            np.concatenate(column) for column in zip(*self._nodes, strict=True)
        )
        node, target, addr, label, word, type_number = (
            np.concatenate(column) for column in zip(*self._slots, strict=True)
        )
        order = np.argsort(node, kind="stable")
        return RootTable(
            kind=kind,
            name=name,
            group=group,
            deferred=deferred,
            item=item,
            slot_node=node[order].astype(np.uint32),
            slot_target=target[order].astype(np.uint32),
            slot_addr=addr[order].astype(np.uint64),
            slot_label=label[order].astype(np.uint32),
            slot_word=word[order].astype(np.uint32),
            slot_type=type_number[order].astype(np.uint32),
            names=list(self.names),
            labels=list(self.labels),
        )
