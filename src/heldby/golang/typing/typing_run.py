"""One run of typing: what is known so far, and following typed pointers from there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.golang.code.code_types import CodeTypes
from heldby.golang.objects.objects import ObjectTable
from heldby.golang.objects.references import References
from heldby.golang.runtime.runtime import Runtime
from heldby.golang.types.type_layout import TypeLayouts
from heldby.golang.types.types import TypeTable
from heldby.golang.typing.interface_words import dynamic_types, itab_type
from heldby.golang.typing.shape_kernels import read_object_words
from heldby.golang.typing.type_word_kernels import BY_CHOICE, TypeColumns, TypingState
from heldby.golang.typing.typing_arrays import RootSlots, heap_view, type_columns
from heldby.golang.typing.typing_kernels import propagate
from heldby.memory.sparse import sparse_zeros

_MAX_STRANGE: Final = 1 << 16
_MAX_ROUNDS: Final = 4096
_FIRST_DEFERRED: Final = 4096
_STRETCH: Final = 1 << 16


class TypingRun:
    """The arrays that the kernels share, and the work that every step ends with.

    Attributes:
        state: types and evidence so far.
        heap, dynamic: what the kernels read.
        code: what the program's code says of types.
        itabs: interface words made at run time, with their types.
        strange: interface words that name no known type.
    """

    def __init__(
        self,
        runtime: Runtime,
        types: TypeTable,
        objects: ObjectTable,
        references: References,
        roots: RootSlots,
        code: CodeTypes,
    ) -> None:
        self.runtime = runtime
        self.types = types
        self.layouts = TypeLayouts(types)
        self.objects = objects
        self.references = references
        self.heap = heap_view(objects, references, roots)
        self.code = code
        self.itabs: dict[int, int] = {}
        self._open: NDArray[np.uint32] | None = None
        self.strange: set[int] = set()
        self.dynamic = dynamic_types(runtime, types, self.itabs)
        items = len(objects) + 1 + roots.addr.size
        self.state = TypingState(
            type=np.zeros(len(objects) + 1, np.uint32),
            evidence=np.zeros(len(objects) + 1, np.uint8),
            queued=np.zeros(items, np.uint8),
            queue=np.zeros(items + 1, np.uint32),
            deferred=sparse_zeros(items + 1, np.uint32),
            needed=np.zeros(1, np.uint8),
            strange=np.zeros(_MAX_STRANGE, np.uint64),
        )

    def columns(self) -> TypeColumns:
        """Return types and programs as the kernels read them now."""
        return type_columns(self.types, self.layouts)

    def object_word(self, objects: NDArray[np.uint32], word: int) -> NDArray[np.uint64]:
        """Return word number `word` of each object's slot."""
        out = np.zeros(objects.size, np.uint64)
        read_object_words(self.runtime.pages, self.heap.addr, objects, word, out)
        return out

    def accept(self, objects: NDArray[np.uint32], packed: NDArray[np.uint32], evidence: int) -> None:
        """Set the types of objects and follow what they lead to."""
        self.state.type[objects] = packed
        self.state.evidence[objects] = np.maximum(self.state.evidence[objects], evidence)
        self.follow(objects)

    def unknown_with_bits(self) -> NDArray[np.uint32]:
        """Return the unknown objects that have pointer bits of their own: at most 512 bytes, not noscan.

        Where no object names its type (Go 1.21) larger ones too.
        """
        if self._open is None:
            has_bits = self.objects.spans.pointer_bits != 0
            self._open = self.objects_where(
                lambda part: (self.state.type[part] == 0) & has_bits[self.heap.span[part]]
            )
        # What is known once stays known: the list only shrinks.
        still = (self.state.type[self._open] == 0) | (self.state.evidence[self._open] == BY_CHOICE)
        self._open = self._open[still]
        return self._open

    def typed_roots(self) -> NDArray[np.uint32]:
        """Return the items that stand for root variables whose type is known."""
        return (np.flatnonzero(self.heap.root_type) + len(self.objects) + 1).astype(np.uint32)

    def untyped_roots(self) -> NDArray[np.uint32]:
        """Return the items that stand for the words of unknown root variables."""
        unknown = (self.heap.root_type == 0) & (self.heap.root_addr != 0)
        return (np.flatnonzero(unknown) + len(self.objects) + 1).astype(np.uint32)

    def untyped_with_references(self) -> NDArray[np.uint32]:
        """Return the unknown objects that refer to something."""
        return self.objects_where(lambda part: self._refer(part) & (self.state.type[part] == 0))

    def objects_where(self, condition: Callable[[slice], NDArray[np.bool_]]) -> NDArray[np.uint32]:
        """Return the objects, ascending, for which `condition` holds; the virtual root is none.

        It is asked for a stretch of objects at a time: what it needs of all at once would be the peak of memory.
        """
        found = [np.zeros(0, np.uint32)]
        for low in range(1, len(self.objects) + 1, _STRETCH):
            part = slice(low, min(low + _STRETCH, len(self.objects) + 1))
            found.append((np.flatnonzero(condition(part)) + low).astype(np.uint32))
        return np.concatenate(found)

    def follow(self, items: NDArray[np.uint32]) -> None:
        """Follow typed pointers from objects and root slots (items) until nothing new is learnt."""
        state = self.state
        for turn in range(_MAX_ROUNDS):
            columns = self.columns()
            state = self.state = state._replace(needed=np.zeros(columns.size.size, np.uint8))
            # Soon after a program is missed, or most items would wait for one of a few; but few turns.
            most = _FIRST_DEFERRED << min(turn, 20)
            state.queue[: items.size] = items
            state.queued[items] = 1
            deferred, strange, head, tail = (
                int(number)
                for number in propagate(
                    self.runtime.pages, self.heap, columns, self.dynamic, state, items.size, most
                )
            )
            again = state.deferred[:deferred].copy()
            queue = state.queue
            left = queue[head:tail] if head <= tail else np.concatenate((queue[head:], queue[:tail]))
            state.queued[again] = 0
            if self._learn_interfaces(state.strange[: int(strange)]):
                again = np.union1d(again, self._holders_of_interfaces())
                again = again[state.queued[again] == 0]
            if not again.size and not left.size:
                return
            self.layouts.ensure(np.flatnonzero(state.needed))
            items = np.concatenate((again, left))

    def _learn_interfaces(self, words: NDArray[np.uint64]) -> bool:
        """Add interface words made at run time (itabs of type assertions) to the known ones."""
        new = {word for word in np.unique(words).tolist() if word not in self.strange}
        self.strange |= new
        found = 0
        for word in new:
            number = itab_type(self.runtime, self.types, word)
            if number:
                self.itabs[word] = number
                found += 1
        if found:
            self.dynamic = dynamic_types(self.runtime, self.types, self.itabs)
        return found > 0

    def _holders_of_interfaces(self) -> NDArray[np.uint32]:
        return self.objects_where(lambda part: self._refer(part) & (self.state.type[part] != 0))

    def _refer(self, part: slice) -> NDArray[np.bool_]:
        """Return which objects of a stretch refer to something."""
        ends = self.heap.offsets[part.start : part.stop + 1]
        return ends[1:] > ends[:-1]
