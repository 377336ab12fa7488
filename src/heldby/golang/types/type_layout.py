"""What lies in each pointer word of a type: the *slot programs* that typing and naming run on.

A program has one entry for every word of the type's pointer prefix: what kind of reference it is, the type it
leads to and the path of fields that names it. Nested structs and arrays are flattened, so that a kernel finds
the entry of a word with one index. Programs are built when a type is first met.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heldby.golang.types import type_scan as scan
from heldby.golang.types.container_parts import part_of
from heldby.golang.types.types import (
    CLOSURE,
    KIND_BUCKET_MAP,
    KIND_CHANNEL,
    KIND_CLOSURE,
    KIND_MAP,
    KIND_MAP_EXTRA,
    KIND_MAP_OVERFLOW,
    KIND_MAP_TABLE,
    KIND_MEMORY,
    WEAK_HANDLE,
    Field,
    GoType,
    TypeTable,
)

# What a pointer word is. `target` and `aux` are type numbers.
NOTHING, POINTER, SLICE, STRING, INTERFACE, FUNC, DIRECTORY, ARRAY_OF, TRIE_NODE, OPAQUE = range(10)
MAX_PROGRAM_WORDS: Final = 1 << 20
# All programs together; only damaged descriptors, whose fields lie on top of each other, come near.
_MAX_WORDS: Final = 1 << 25
_MAX_DEPTH: Final = 48
_GROUP_NAME: Final = re.compile(r"(noalg\.)?map\.(group|bucket)\[")
_TRIE_NODE: Final = re.compile(r"(sync|unique)\.node\[")
_TRIE_PART: Final = re.compile(r"(sync|unique)\.(node|indirect|entry|HashTrieMap)\[")
_ATOMIC_POINTER: Final = re.compile(r"(sync/)?atomic\.Pointer\[")  # with its path in debug information
# A program's pointer to the first is a pointer to the second (time.newTimer, runtime/time.go).
_LARGER: Final = {"time.Timer": "runtime.timeTimer", "time.Ticker": "runtime.timeTimer"}
_SILENT_TRIE: Final = {"node": "", "root": "", "children": "", "overflow": ""}
# Fields that say nothing to a reader of paths: the innards of containers.
_SILENT: Final = {
    "sync.Map": {"m": "", "read": "", "dirty": ""},
    "sync.readOnly": {"m": ""},  # the halves of a sync.Map up to Go 1.23
    "sync.entry": {"p": ""},
    "atomic.Value": {"v": ""},
    "sync.poolLocal": {"poolLocalInternal": ""},
}


def is_map_group(name: str) -> bool:
    """Tell whether the type of that name is a group of a map's slots."""
    return _GROUP_NAME.match(name) is not None


def is_map_bucket(name: str) -> bool:
    """Tell whether a type that `is_map_group` is a bucket."""
    return "bucket" in name.partition("[")[0]


def is_atomic_pointer(name: str) -> bool:
    """Tell whether the type of that name is an ``atomic.Pointer[T]``."""
    return _ATOMIC_POINTER.match(name) is not None


class Program(NamedTuple):
    """The pointer words of one type, in order.

    Attributes:
        word: ``int64[k]``, index of the 64-bit word in a value.
        kind: ``uint8[k]``.
        target, aux: ``uint32[k]``, type numbers; see the kinds in typing_kernels.
        label: ``uint32[k]``, number of the path in the `LabelTable`.
    """

    word: NDArray[np.int64]
    kind: NDArray[np.uint8]
    target: NDArray[np.uint32]
    aux: NDArray[np.uint32]
    label: NDArray[np.uint32]


class LabelTable:
    """Paths such as ``.Seen`` or ``[*].name`` by number; 0 is the empty path."""

    def __init__(self, texts: Sequence[str] = ("",)) -> None:
        self.texts: list[str] = list(texts)
        self._numbers: dict[str, int] = {text: number for number, text in enumerate(texts)}

    def number(self, text: str) -> int:
        """Return the number of `text`, a new one on first use."""
        found = self._numbers.get(text)
        if found is None:
            found = self._numbers[text] = len(self.texts)
            self.texts.append(text)
        return found

    def under(self, prefix: str, labels: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Return the numbers of the same paths with `prefix` before them."""
        if not prefix or not labels.size:
            return labels
        distinct, inverse = np.unique(labels, return_inverse=True)
        moved = [self.number(prefix + self.texts[number]) for number in distinct.tolist()]
        return np.array(moved, np.uint32)[inverse]


def _program(
    words: list[int], kinds: list[int], targets: list[int], auxes: list[int], labels: list[int]
) -> Program:
    return Program(
        np.array(words, np.int64),
        np.array(kinds, np.uint8),
        np.array(targets, np.uint32),
        np.array(auxes, np.uint32),
        np.array(labels, np.uint32),
    )


_EMPTY: Final = _program([], [], [], [], [])


def _joined(parts: list[Program]) -> Program:
    if len(parts) == 1:
        return parts[0]
    return Program(*(np.concatenate(columns) for columns in zip(*parts, strict=True))) if parts else _EMPTY


class TypeLayouts:
    """Programs of types, flattened into arrays that kernels index.

    Attributes:
        types: the types.
        labels: the paths.
        start: ``int64[types]``: first entry of a type's program, -1 while it has none.
        kind, target, aux, label: the entries of all programs.
    """

    def __init__(
        self,
        types: TypeTable,
        labels: LabelTable | None = None,
        programs: Mapping[int, Program] | None = None,
    ) -> None:
        self.types = types
        self.labels = labels or LabelTable()
        self.start = np.full(types.size.size, -1, np.int64)
        self.kind = np.zeros(1 << 12, np.uint8)
        self.target, self.aux, self.label = (np.zeros(1 << 12, np.uint32) for _ in range(3))
        self._used = 0
        self._flat: dict[int, Program] = dict(programs or {})
        self._words_left = _MAX_WORDS

    @property
    def programs(self) -> Mapping[int, Program]:
        """The programs that were built so far, by type number."""
        return self._flat

    def ensure(self, numbers: NDArray[np.integer]) -> None:
        """Build the programs of these types, where they are missing. Python work for each new type."""
        self._grow_types()
        for number in numbers.tolist():
            if self.start[number] < 0:
                self._place(number)
        self._grow_types()

    def _grow_types(self) -> None:
        missing = self.types.size.size - self.start.size
        if missing > 0:
            self.start = np.concatenate([self.start, np.full(missing, -1, np.int64)])

    def _place(self, number: int) -> None:
        program = self.program(number)
        self._grow_types()
        count = min(int(self.types.ptrbytes[number]) // 8, MAX_PROGRAM_WORDS)
        while self._used + count > self.kind.size:
            for name in ("kind", "target", "aux", "label"):
                old = getattr(self, name)
                setattr(self, name, np.concatenate([old, np.zeros(old.size, old.dtype)]))
        inside = program.word < count
        at = self._used + program.word[inside]
        self.kind[at] = program.kind[inside]
        self.target[at] = program.target[inside]
        self.aux[at] = program.aux[inside]
        self.label[at] = program.label[inside]
        self.start[number] = self._used
        self._used += count

    def program(self, number: int) -> Program:
        """Return the flattened pointer words of a type."""
        return self._flatten(number, _MAX_DEPTH)

    def add_choice(self, numbers: tuple[int, ...], size: int) -> int:
        """Add a type that stands for one of several, each of which a slot of `size` bytes may hold.

        A word keeps its meaning where all agree; elsewhere it is named by its offset and leads nowhere.
        """
        programs = [self.program(number) for number in numbers]
        words = np.unique(np.concatenate([program.word for program in programs]))
        first = programs[0]
        rows: list[list[int]] = [[], [], [], [], []]
        for word in words.tolist():
            said = [
                tuple(int(column[at]) for column in program[1:])
                for program in programs
                for at in np.flatnonzero(program.word == word).tolist()
            ]
            agreed = said[0] if len(set(said)) == 1 and len(said) == len(programs) else None
            plain = (OPAQUE, 0, 0, self.labels.number(f"+{word * 8:#x}"))
            for column, value in zip(rows, (word, *(agreed or plain)), strict=True):
                column.append(value)
        name = " or ".join(self.types.display_name(number) for number in numbers[:4])
        known = GoType(
            name=name if len(numbers) <= 4 else f"one of {len(numbers)} types",
            kind=KIND_MEMORY,
            size=size,
            ptrbytes=int(words[-1]) * 8 + 8 if words.size else 0,
        )
        number = self.types.add(known, pointer_mask=int(self.types.pointer_mask[numbers[0]]))
        self._flat[number] = _program(*rows) if words.size else first
        return number

    def _flatten(self, number: int, depth: int) -> Program:
        known = self._flat.get(number)
        if known is None:
            # A damaged descriptor may contain itself: then it has nothing to add to itself.
            self._flat[number] = _EMPTY
            if depth and self.types.ptrbytes[number] and self._words_left > 0:
                known = self._build(number, depth)
                self._words_left -= known.word.size
                self._flat[number] = known
            known = self._flat[number]
        return known

    def _build(self, number: int, depth: int) -> Program:
        of = self.types[number]
        if of.kind in (scan.STRUCT, KIND_CLOSURE):
            return self._struct(number, of, depth)
        if of.kind == scan.ARRAY:
            return self._array(of, depth)
        return self._word(number, of)

    def _word(self, number: int, of: GoType) -> Program:
        types = self.types
        kind, target, aux, word = OPAQUE, 0, 0, 0
        if of.kind == scan.POINTER:
            return self._pointer(of.elem)
        if of.kind == scan.SLICE:
            return _program([0], [SLICE], [of.elem], [0], [self.labels.number("[*]")])
        if of.kind == scan.STRING:
            kind = STRING
        elif of.kind == scan.INTERFACE:
            # `target` 0: an empty interface, whose first word is a descriptor and not an itab.
            kind, word, target = INTERFACE, 1, 0 if self._is_empty(number) else number
        elif of.kind == scan.FUNC:
            kind, target = FUNC, CLOSURE
        elif of.kind == scan.MAP and types.map_slots(number):
            kind, target = POINTER, part_of(types, "map", number)
        elif of.kind == scan.CHAN:
            kind, target = POINTER, part_of(types, "channel", number)
        elif of.kind == KIND_MAP:
            kind, word, target = DIRECTORY, 2, types.map_slots(of.elem)
            aux = part_of(types, "table pointer", of.elem)
        elif of.kind == KIND_MAP_TABLE:
            kind, word, target = ARRAY_OF, 2, types.map_slots(of.elem)
        elif of.kind == KIND_MAP_OVERFLOW:
            kind, target = SLICE, part_of(types, "bucket pointer", of.elem)
        elif of.kind in (KIND_BUCKET_MAP, KIND_MAP_EXTRA):
            return self._bucket_map(of)
        elif of.kind == KIND_CHANNEL:
            return self._channel(of)
        return _program([word], [kind], [target], [aux], [0])

    def _is_empty(self, number: int) -> bool:
        """Tell whether an interface type has no methods."""
        return self.types.method_count(number) == 0

    def _pointer(self, elem: int) -> Program:
        """Return the program of a pointer to type `elem`; what it really leads to may be a larger type."""
        name = self.types[elem].name if elem else ""
        kind, target, aux = (POINTER, elem, 0) if elem else (OPAQUE, 0, 0)
        if name in _LARGER:
            target = next(iter(self.types.named(_LARGER[name])), elem)
        elif name == "runtime.hchan":
            kind = OPAQUE
        elif name == "runtime.funcval":
            kind, target = FUNC, CLOSURE
        elif _TRIE_NODE.match(name):
            entry = self.types.named(name.replace("node[", "entry[", 1))
            indirect = self.types.named(name.replace("node[", "indirect[", 1))
            if entry and indirect:
                kind, target, aux = TRIE_NODE, entry[0], indirect[0]
        # A run of values is named by its elements where it is referred to; a step inside adds nothing.
        run = self.labels.number("[*]") if elem and self.types.kind[elem] == scan.ARRAY else 0
        return _program([0], [kind], [target], [aux], [run])

    def _bucket_map(self, of: GoType) -> Program:
        """Return the program of ``runtime.hmap`` or ``runtime.mapextra``: what they hold has no name of its own."""
        layout, types = self.types.layout, self.types
        bucket = types.map_slots(of.elem)
        if of.kind == KIND_MAP_EXTRA:
            names, struct = ("overflow", "oldoverflow", "nextOverflow"), "runtime.mapextra"
            overflow = part_of(types, "overflow", of.elem)
            kinds, targets = [POINTER] * 3, [overflow, overflow, bucket]
        else:
            names, struct = ("buckets", "oldbuckets", "extra"), "runtime.hmap"
            kinds, targets = (
                [ARRAY_OF, ARRAY_OF, POINTER],
                [bucket, bucket, part_of(types, "extra", of.elem)],
            )
        words = [layout.offset(struct, name) // 8 for name in names]
        return _program(words, kinds, targets, [0] * 3, [0] * 3)

    def _channel(self, of: GoType) -> Program:
        elem = self.types[of.elem].elem
        rest = self._fields_of(of, of.fields, _MAX_DEPTH)
        at = self.types.layout.offset("runtime.hchan", "buf") // 8
        others = rest.word != at
        buffer = _program([at], [ARRAY_OF], [elem], [0], [self.labels.number("[*]")])
        return _joined([buffer, Program(*(column[others] for column in rest))])

    def _array(self, of: GoType, depth: int) -> Program:
        element = self._flatten(of.elem, depth - 1)
        step = int(self.types.size[of.elem]) // 8
        if not element.word.size or not step:
            return _EMPTY
        count = min(of.length, MAX_PROGRAM_WORDS // max(step, 1) + 1, MAX_PROGRAM_WORDS // element.word.size)
        label = self.labels.under("[*]", element.label)
        shift = np.repeat(np.arange(count, dtype=np.int64) * step, element.word.size)
        return Program(
            np.tile(element.word, count) + shift,
            np.tile(element.kind, count),
            np.tile(element.target, count),
            np.tile(element.aux, count),
            np.tile(label, count),
        )

    def _struct(self, number: int, of: GoType, depth: int) -> Program:
        if is_map_group(of.name):
            return self._group(number, of, depth)
        if of.name == "sync.eface":
            return _program([1], [INTERFACE], [0], [0], [0])
        if of.name.startswith("weak.Pointer["):
            return _program([0], [POINTER], [WEAK_HANDLE], [0], [0])
        if is_atomic_pointer(of.name):
            return self._atomic_pointer(of)
        program = self._fields_of(of, of.fields, depth)
        if of.name == "sync.Pool":
            return self._with_pool_locals(of, program)
        return program

    def _fields_of(self, of: GoType, fields: tuple[Field, ...], depth: int) -> Program:
        parts, room = [], MAX_PROGRAM_WORDS
        for field in fields:
            inner = self._flatten(field.type, depth - 1)
            room -= inner.word.size
            if not inner.word.size or room < 0:
                continue
            label = self.labels.under(self._prefix(of, field), inner.label)
            if field.name == "children" and _TRIE_PART.match(of.name):
                label = np.zeros_like(label)  # an inner node's: no element of the map
            parts.append(inner._replace(word=inner.word + field.offset // 8, label=label))
        return _joined(parts)

    def _prefix(self, of: GoType, field: Field) -> str:
        silent = _SILENT.get(of.name)
        if silent is not None and field.name in silent:
            return silent[field.name]
        if _TRIE_PART.match(of.name):
            return {"key": "[key]", "value": "[*]", **_SILENT_TRIE}.get(field.name, "." + field.name)
        # A field of an embedded struct is written as Go promotes it.
        if field.embedded and self.types.kind[field.type] == scan.STRUCT:
            return ""
        return "." + field.name

    def _group(self, number: int, of: GoType, depth: int) -> Program:
        """Return the program of a map group: control word, then slots (or split keys and elems, 1.27).

        The buckets of old maps are the like: top bits, keys, elems and a pointer to an overflow bucket.
        """
        parts: list[Program] = []
        room = MAX_PROGRAM_WORDS
        for field in of.fields:
            array = self.types[field.type]
            if field.name == "overflow" and array.kind == scan.UNSAFE_POINTER:
                parts.append(_program([field.offset // 8], [POINTER], [number], [0], [0]))
            if array.kind != scan.ARRAY or room <= 0:
                continue
            slot = self.types[array.elem]
            split = {"keys": "[key]", "elems": "[*]"}.get(field.name)
            inner = (
                self._renamed(self._flatten(array.elem, depth - 1), split)
                if split is not None
                else self._slot(slot, depth - 1)
            )
            step = int(self.types.size[array.elem]) // 8
            count = min(array.length, 64, MAX_PROGRAM_WORDS // 2 // max(inner.word.size, 1))
            starts = (field.offset // 8 + index * step for index in range(count))
            parts.extend(inner._replace(word=inner.word + start) for start in starts)
            room -= count * inner.word.size
        return _joined([part for part in parts if part.word.size])

    def _slot(self, slot: GoType, depth: int) -> Program:
        names = {"key": "[key]", "elem": "[*]"}
        parts, room = [], MAX_PROGRAM_WORDS
        for field in slot.fields:
            inner = self._renamed(self._flatten(field.type, depth), names.get(field.name, ""))
            room -= inner.word.size
            if room < 0:
                break
            parts.append(inner._replace(word=inner.word + field.offset // 8))
        return _joined([part for part in parts if part.word.size])

    def _renamed(self, program: Program, prefix: str) -> Program:
        return program._replace(label=self.labels.under(prefix, program.label))

    def _atomic_pointer(self, of: GoType) -> Program:
        """Return the program of ``atomic.Pointer[T]``: ``_ [0]*T`` names T, ``v unsafe.Pointer`` holds it."""
        for field in of.fields:
            array = self.types[field.type]
            if array.kind == scan.ARRAY and array.length == 0:
                return self._pointer(self.types[array.elem].elem)
        inside = of.name.partition("[")[2][:-1]
        found = self.types.named(inside) or self.types.named(inside.rpartition("/")[2])
        return self._pointer(found[0] if found else 0)

    def _with_pool_locals(self, of: GoType, program: Program) -> Program:
        local = next(iter(self.types.named("sync.poolLocal")), 0)
        offsets = [field.offset // 8 for field in of.fields if field.name in ("local", "victim")]
        if not local:
            return program
        mine = np.isin(program.word, offsets)
        kind, target = program.kind.copy(), program.target.copy()
        kind[mine], target[mine] = ARRAY_OF, local
        return program._replace(kind=kind, target=target)
