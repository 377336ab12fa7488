"""Which statements keep what a holder holds: the line that ties an allocation to its holder.

The compiled code says it, in stripped programs too: a call that stores into maps of this very type, that grows
slices of this element type and writes them back at the field's offset, that sends into this channel; and for plain
fields the instructions that write through a pointer whose type is known. Candidates
are ranked by how closely the code around them fits the field or variable; only those that fit best are told,
with how sure that is, and none when too many fit. A store by reflection or by hand-written assembly is not seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.analysis.answer import Holder, KeptIn, StoredBy
from heldby.analysis.holding.holder_tree import HolderTree
from heldby.analysis.statements.store_places import Container, StorePlace, store_places
from heldby.binary.code_references import PointerWords
from heldby.errors import HeldbyError
from heldby.golang.code.pointer_words import TypeIds, pointer_words
from heldby.golang.code.storing_code import AFTER_CALL, Operands, StoringCode
from heldby.golang.code.word_stores import WordStoring
from heldby.golang.functions.functions import FunctionTable, Position, package_of
from heldby.heap.code_knowledge import code_facts
from heldby.heap.heap import Heap

_MOST_STATEMENTS: Final = 3
_MOST_HOLDERS: Final = 40
_MOST_PLACES: Final = 8
_MOST_CALLERS: Final = 200
_MOST_DEPTH: Final = 4
_NOT_THIS, _BY_TYPE, _BY_FIELD, _BY_VARIABLE = 0, 1, 2, 3
# The entries of a map come from where such maps are stored into. But an append to such a slice says nothing of a
# slice that may have been made and filled, and the type of a channel is not in the code that sends.
_TOLD_BY_TYPE: Final[tuple[Container, ...]] = ("map", "list", "sync map")
_CALLS: Final[dict[Container, re.Pattern[bytes]]] = {
    "list": re.compile(
        rb"\x00container/list\.\(\*List\)\.(?:PushBack|PushFront|InsertBefore|InsertAfter)(?=\x00)"
    ),
    "sync map": re.compile(
        rb"\x00(?:internal/)?sync\.\(\*(?:HashTrie)?Map(?:\[[^\x00]*\])?\)\.(?:Store|Swap|LoadOrStore|CompareAndSwap)(?=\x00)"
    ),
}
_WHAT: Final[dict[Container, tuple[str, str]]] = {
    "slice": ("appends to, or assigns, a {}", "append to, or assign, a {}"),
    "map": ("stores into a {}", "store into a {}"),
    "channel": ("sends into a channel", "send into a channel"),
    "list": ("adds to a list.List", "add to a list.List"),
    "sync map": ("stores into a sync.Map", "store into a sync.Map"),
    "field": ("stores", "store"),
}
_STANDARD: Final = re.compile(  # folders of GOROOT/src, which no module path begins with unless it has a dot
    r"(?:archive|bufio|bytes|cmp|compress|container|context|crypto|database|debug|embed|encoding"
    r"|errors|expvar|flag|fmt|go|hash|html|image|index|internal|io|iter|log|maps|math|mime|net"
    r"|os|path|plugin|reflect|regexp|runtime|simd|slices|sort|strconv|strings|structs|sync"
    r"|syscall|testing|text|time|unicode|unique|unsafe|vendor|weak)(?:/[^.]*)?"
)


@dataclass(frozen=True, slots=True)
class _Candidate:
    place: Position
    fit: int


class Storing:
    """Finds the statements; made once for all holders. Scans the code at the first question: O(code)."""

    def __init__(self, heap: Heap) -> None:
        code = heap.code
        functions = code.functions if code is not None else FunctionTable(heap.process.runtime)
        types = heap.naming.types.layouts.types
        ids = TypeIds(types)

        def words(entries: NDArray[np.int64]) -> PointerWords:
            return pointer_words(types, ids, functions, entries, heap.variables)

        # The scan at loading knew no types; what it found out of variables is among these words.
        before = code.facts if code is not None else None
        facts = code_facts(heap.process.runtime, functions, words, before)
        self._functions = functions
        self._types = types
        self._code = StoringCode(heap.process.runtime, functions, types, facts)
        self._words = WordStoring(types, ids, facts.stores)

    def into(self, place: StorePlace) -> tuple[StoredBy, ...]:
        """Return the statements that store into a container, those that fit best; none when that is a guess."""
        found = [
            _Candidate(position, fit)
            for call, fit in self._stores(place)
            if (position := self._user_position(call)) is not None
        ]
        found = [each for each in found if each.fit and _may_reach(each.place, place)]
        best = max((each.fit for each in found), default=_BY_TYPE)
        if best == _BY_TYPE and place.container not in _TOLD_BY_TYPE:
            return ()
        lines = {(each.place.file, each.place.line): each.place for each in found}
        statements = {(each.place.file, each.place.line): each.place for each in found if each.fit == best}
        # What is stored into may have been read earlier than was looked: then nothing but the type is known.
        alone = len(lines) == 1 or (place.container == "slice" and len(statements) == 1)
        if best == _BY_FIELD and not alone and len(lines) <= _MOST_STATEMENTS:
            statements = lines
        if not 0 < len(statements) <= _MOST_STATEMENTS:
            return ()
        if place.in_container and len(statements) > 1:
            return ()  # each may fill the elements of another container
        one, several = _WHAT[place.container]
        what = (one if best == _BY_VARIABLE or len(statements) == 1 else several).format(place.type_name)
        certainty, evidence = _evidence(place, what, best, len(statements), alone=alone)
        return tuple(
            StoredBy(
                place=place.path,
                func=position.function,
                file=position.file if position.file != "?" else None,
                line=position.line or None,
                certainty=certainty,
                evidence=evidence,
            )
            for _, position in sorted(statements.items())
        )

    def _stores(self, place: StorePlace) -> Iterable[tuple[int, int]]:
        """Yield calls and instructions that may store into `place`, with how closely they fit."""
        words, owner, offset = self._words, place.owner_type, place.offset
        if place.container == "field":
            by_field = words.into_field(owner, offset)
            # Where both are known, one is as good as the other.
            fit = _BY_FIELD if by_field else _BY_VARIABLE
            yield from ((pc, fit) for pc in words.into_variable(place.address))
            yield from ((pc, _BY_FIELD) for pc in by_field)
            return
        calls = list(self._calls(place))
        if place.container == "slice":
            stores = words.into_field(owner, offset)
            # Where no pointers are in it, what is held is the array itself, however it came there.
            if not self._types.ptrbytes[place.type]:
                calls += [(pc, _BY_FIELD) for pc in stores]
            else:
                calls += [(pc, _BY_FIELD) for pc in stores if self._is_beside(pc, self._code.growing)]
                # Appended to elsewhere, ``l.items = add(l.items, x)``; what was just made is empty still.
                calls = calls or [
                    (pc, _BY_FIELD) for pc in stores if not self._is_beside(pc, self._code.making)
                ]
        yield from calls

    def _calls(self, place: StorePlace) -> Iterable[tuple[int, int]]:
        code = self._code
        if place.container == "slice":
            generic = (call for call in code.appends(0) if self._is_method_of(call, place.owner))
            for call in (*code.appends(place.type), *generic):
                fit = _fit_of_slice(code.grown_at(call), place)
                if fit == _BY_VARIABLE or (fit == _BY_FIELD and not self._is_elsewhere(call, place)):
                    yield call, fit
        elif place.container == "map":
            generic = (call for call in code.map_stores(0) if self._is_method_of(call, place.owner))
            for call in (*code.map_stores(place.type), *generic):
                yield call, _fit_of_word(code.argument(call, 1), place)
        elif place.container == "channel":
            for call in code.sends:
                yield call, _fit_of_word(code.argument(call, 0), place)
        else:
            for call in code.calls_of(self._functions.matching(_CALLS[place.container])):
                yield call, _fit_of_word(code.argument(call, 0), place)
        if place.container == "list":  # mostly inlined down to the allocation of an element
            for call in code.allocations(self._types.named("list.Element")):
                yield call, min(_fit_of_word(code.read_before(call), place), _BY_FIELD)

    def _is_beside(self, store: int, calls: NDArray[np.uint64]) -> bool:
        """Tell whether one of `calls` is made in the statement that an instruction belongs to."""
        here = self._functions.file_line(store)
        return any(self._functions.file_line(call) == here for call in self._code.beside(store, calls))

    def _is_elsewhere(self, call: int, place: StorePlace) -> bool:
        """Tell whether the slice that a call grew is known to be stored, but not at `place`."""
        stored = self._words.slices_between(call, call + AFTER_CALL)
        return (
            bool(stored)
            and bool(place.owner_type)
            and place.offset is not None
            and not (stored & set(self._words.into_field(place.owner_type, place.offset)))
        )

    def _is_method_of(self, call: int, owner: str) -> bool:
        """Tell whether code of a generic type's method makes the call: only those of `owner` can reach it."""
        bare = owner.partition("[")[0]
        return "[" in owner and any(
            f"{bare}[" in position.function.replace("(*", "").replace("(", "")
            for position in self._functions.inlined(call)
        )

    def _user_position(self, call: int) -> Position | None:
        """Return the innermost place at `call` that is not in the standard library, in its callers if need be."""
        pending, seen = [call], {call}
        for _ in range(_MOST_DEPTH):
            callers: set[int] = set()
            for pc in pending:
                positions = self._functions.inlined(pc)
                user = next((each for each in positions if not _is_standard(each.function)), None)
                if user is not None:
                    return user
                if positions and package_of(positions[-1].function) in (
                    "container/list",
                    "internal/sync",
                    "sync",
                ):
                    index = np.array([self._functions.index(pc)], np.int64)
                    callers.update(self._code.calls_of(index)[:_MOST_CALLERS])
            pending = sorted(callers - seen)
            seen |= callers
            if len(pending) != 1:  # several callers: each has a candidate of its own, or none is the one
                return None
        return None


def with_statements(
    tree: HolderTree, holders: tuple[Holder, ...], paths: Sequence[int]
) -> tuple[Holder, ...]:
    """Return `holders` with the containers that they pass and the statements that store into the nearest.

    `paths` are their nodes, in their order; only the first `_MOST_HOLDERS` are looked at. Costs one scan of the
    code, if loading needed none, and then some references and calls for each holder.
    """
    storing = _storing_of(tree.heap)
    found = list(holders)
    for number, path in enumerate(paths[:_MOST_HOLDERS]):
        places = tuple(islice(store_places(tree, path), _MOST_PLACES))
        # A map below an object says where that object keeps others, and not who keeps the object.
        above = [place for place in places if not _is_below(place.path, holders[number].path)]
        statements = (storing.into(place) for place in above) if storing is not None else ()
        found[number] = replace(
            found[number],
            kept_in=tuple(_kept_in(place) for place in places),
            stored_by=next((each for each in statements if each), ()),
        )
    return tuple(found)


def _is_below(place: str, path: str) -> bool:
    return len(place) > len(path) and place.startswith(path) and place[len(path)] in ".[("


def _kept_in(place: StorePlace) -> KeptIn:
    return KeptIn(
        path=place.path,
        container=place.container,
        type=place.type_name or None,
        owner=place.owner or None,
        package=place.package or None,
        field=place.field or None,
    )


def _storing_of(heap: Heap) -> Storing | None:
    """Return what finds the statements, None where the program's code is not there or not read."""
    try:
        return Storing(heap)
    except HeldbyError:
        return None


def _fit_of_slice(written: Operands, place: StorePlace) -> int:
    """How closely the place that an append writes to fits a slice."""
    if place.address is not None and place.address in written.addresses:
        return _BY_VARIABLE
    if place.offset is not None and place.offset in written.offsets:
        return _BY_FIELD
    return _BY_TYPE


def _fit_of_word(read: Operands, place: StorePlace) -> int:
    """How closely an argument fits the pointer to a map, channel or list, or the beginning of a list or sync.Map."""
    inside = place.container in ("list", "sync map")
    for address in read.addresses:
        if place.address is not None and (
            place.address - 64 <= address <= place.address if inside else address == place.address
        ):
            return _BY_VARIABLE
    if place.owner and place.offset is not None and place.offset in read.offsets:
        return _BY_FIELD
    if inside or not place.owner or place.offset is None:
        return _BY_TYPE
    # It comes from another variable or field.
    return _NOT_THIS if read.addresses or read.offsets else _BY_TYPE


def _may_reach(position: Position, place: StorePlace) -> bool:
    """Tell whether code there can name the field: outside its package only exported fields can be."""
    if not place.package or not place.field:
        return True
    same = package_of(position.function) == place.package
    return same or (place.package != "main" and place.field[:1].isupper())


def _is_standard(function: str) -> bool:
    return _STANDARD.fullmatch(package_of(function)) is not None


def _evidence(place: StorePlace, what: str, fit: int, count: int, *, alone: bool) -> tuple[str, str]:
    only = "the only statement found that" if count == 1 else f"one of {count} statements that"
    if fit == _BY_VARIABLE:
        return "certain", f"it {what} in this very variable"
    certainty = "likely" if alone else "possible"
    if fit == _BY_FIELD:
        where = (
            f"at offset {place.offset}, where {place.owner} has {place.field}"
            if place.owner
            else "like this one"
        )
        return certainty, f"{only} {what} {where}"
    return certainty, f"{only} {what}"
