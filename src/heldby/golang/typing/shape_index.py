"""The shapes of all types: which pointer words a value has, and what its other words may hold."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.golang.types import type_scan as scan
from heldby.golang.types.container_parts import part_of
from heldby.golang.types.type_layout import TypeLayouts
from heldby.golang.types.types import TypeTable
from heldby.golang.typing.shape_kernels import ShapeChecks
from heldby.golang.typing.type_word_kernels import TypeColumns

U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]
KIND_BOOL: Final = 1
_MAX_BYTES: Final = 512
_MAX_DEPTH: Final = 32
# Parts of maps and channels are known by their map and channel; closures by their function.
_NEVER_ALLOCATED: Final = re.compile(
    r"^go\.shape|^struct \{ F uintptr|^maps\.(Map|table)$|^runtime\.(hchan|hmap|mapextra)$"
)
# main.node[go.shape.*uint8] is the type of whatever inlined generic code allocates, of main.node[*main.Entry] for one.
_SHAPED: Final = re.compile(r"[\[,]go\.shape\.")


class ShapeIndex:
    """Types by the size of their slot and their pointer bits: the candidates for an object of that shape."""

    def __init__(
        self,
        types: TypeTable,
        layouts: TypeLayouts,
        columns: Callable[[], TypeColumns],
        slot_bytes: Callable[[U64], U64],
        *,
        with_large: bool = False,
    ) -> None:
        self._types = types
        self._with_large = with_large
        self._layouts = layouts
        self._slot_bytes = slot_bytes
        self._first_parts = np.zeros(0, np.uint32)
        self._checks: dict[int, tuple[NDArray[np.int64], U64, U64]] = {}
        containers = self._map_parts()
        numbers = np.concatenate([self._allocatable(), containers])
        table = columns()
        size, mask = table.size[numbers], table.mask[numbers]
        small = size <= _MAX_BYTES
        self.large_numbers = numbers
        numbers, size, mask = numbers[small], size[small], mask[small]
        self._numbers, self._size, self._mask = numbers, size, mask
        self._slot = slot_bytes(size)
        shapes, self._shape_of = np.unique(np.stack([size, mask]), axis=1, return_inverse=True)
        self._shape_of = self._shape_of.reshape(-1)
        self._shape_size, self._shape_mask = shapes[0], shapes[1]
        self.pointer_to: dict[int, int] = {}
        pointers = np.flatnonzero(types.kind[: len(types)] == scan.POINTER)
        for number in pointers[::-1].tolist():
            self.pointer_to[int(types.elem[number])] = number
        for kind, role in ((scan.MAP, "map"), (scan.CHAN, "channel")):
            for number in np.flatnonzero(types.kind[: len(types)] == kind)[::-1].tolist():
                self.pointer_to[part_of(types, role, number)] = number

    def _map_parts(self) -> U32:
        """Return the records of every map; of map types with equal groups or buckets the one without a name."""
        types = self._types
        chosen: dict[int, int] = {}
        for number in np.flatnonzero(types.kind[: len(types)] == scan.MAP).tolist():
            group = types.map_slots(number)
            if group and (group not in chosen or types[number].name.startswith("map[")):
                chosen[group] = number
        parts: list[int] = []
        for number in chosen.values():
            swiss = not types.made_of_buckets(number)
            roles = ("map", "table") if swiss else ("map", "extra", "overflow")
            parts.extend(part_of(types, role, number) for role in roles)
            part_of(types, "table pointer" if swiss else "bucket pointer", number)
        return np.array(parts, np.uint32)

    def _allocatable(self) -> U32:
        """Return the types that an object with pointers can have; of more than 512 bytes where asked to."""
        types = self._types
        kinds = types.kind[: len(types)]
        usable = np.isin(kinds, (scan.STRUCT, scan.STRING, scan.INTERFACE, scan.SLICE))
        usable &= types.ptrbytes[: len(types)] > 0
        usable &= self._with_large | (
            (types.size[: len(types)] <= _MAX_BYTES) & (types.pointer_mask[: len(types)] != 0)
        )
        named = [(number, types.name(number)) for number in np.flatnonzero(usable).tolist()]
        # A generic type's shapes have the very layout of those that they stand for: where one of those is known,
        # it says more.
        known = {self._layout_of(number, name) for number, name in named if not _SHAPED.search(name)}
        numbers = [
            number
            for number, name in named
            if not _NEVER_ALLOCATED.search(name)
            and not (_SHAPED.search(name) and self._layout_of(number, name) in known)
        ]
        return np.array(numbers, np.uint32)

    def _layout_of(self, number: int, name: str) -> tuple[str, int, int]:
        """Return the name of a type without its arguments, its size and its pointer words."""
        types = self._types
        return name.partition("[")[0], int(types.size[number]), int(types.pointer_mask[number])

    def candidates(self, elemsize: int, bits: int) -> U32:
        """Return the packed types whose values have these pointer bits in a slot of that size."""
        one = (self._slot == elemsize) & (self._mask == np.uint64(bits))
        runs = self._runs(elemsize, bits)
        many = np.isin(self._shape_of, runs)
        found = np.concatenate([self._numbers[one] * 2, self._numbers[many] * 2 + 1])
        return found.astype(np.uint32)

    def _runs(self, elemsize: int, bits: int) -> NDArray[np.intp]:
        """Return the shapes that repeat, at least twice, to exactly these bits in a slot of that size."""
        step = self._shape_size >> np.uint64(3)
        made = np.zeros(step.size, np.uint64)
        hit = np.zeros(step.size, np.bool_)
        for k in range(elemsize // 8):
            shift = step * np.uint64(k)
            inside = shift + step <= elemsize // 8
            if not inside.any():
                break
            made |= np.where(inside, self._shape_mask << np.minimum(shift, np.uint64(63)), np.uint64(0))
            if k:
                total = self._shape_size * np.uint64(k + 1)
                hit |= inside & (made == np.uint64(bits)) & (self._slot_bytes(total) == elemsize)
        return np.flatnonzero(hit)

    def checks(self, total: int, numbers: U32) -> ShapeChecks:
        """Return the checks of these types' contents, in arrays for `total` types."""
        counts = np.zeros(total + 1, np.int64)
        parts: list[tuple[NDArray[np.int64], U64, U64]] = []
        for number in np.unique(numbers).tolist():
            if number not in self._checks:
                self._checks[number] = self._content_checks(number)
            counts[number + 1] = self._checks[number][0].size
            parts.append(self._checks[number])
        if not parts:
            nothing = np.zeros(0, np.uint64)
            return ShapeChecks(counts, np.zeros(0, np.uint32), nothing, nothing)
        words, never, padding = (np.concatenate(column) for column in zip(*parts, strict=True))
        return ShapeChecks(np.cumsum(counts), words.astype(np.uint32), never, padding)

    def first_parts(self, total: int) -> U32:
        """Return the type that each type starts with, 0 where it has no parts; for `total` types."""
        if self._first_parts.size < total:
            types, found = self._types, np.zeros(total, np.uint32)
            kinds = types.kind[: len(types)]
            arrays = np.flatnonzero(kinds == scan.ARRAY)
            found[arrays] = types.elem[arrays]
            owner, part, offset = types.all_field_places()
            first = (offset == 0) & (types.size[part] > 0)
            structs, at = np.unique(owner[first], return_index=True)
            found[structs] = part[first][at]
            self._first_parts = found
        return self._first_parts

    def _content_checks(self, number: int) -> tuple[NDArray[np.int64], U64, U64]:
        """Return the words of a type that have bits no value has, or padding; and those bits."""
        size = min(int(self._types.size[number]), _MAX_BYTES)
        never = np.zeros(-(-size // 8) * 8, np.uint8)
        padding = np.zeros(never.size, np.uint8)
        padding[:size] = 0xFF
        self._cover(number, 0, never, padding, _MAX_DEPTH)
        never_words, padding_words = never.view(np.uint64), padding.view(np.uint64)
        at = np.flatnonzero((never_words != 0) | (padding_words != 0))
        return at, never_words[at], padding_words[at]

    def _cover(
        self, number: int, start: int, never: NDArray[np.uint8], padding: NDArray[np.uint8], depth: int
    ) -> None:
        """Clear `padding` where a value of the type has bytes, and set `never` for its booleans."""
        of = self._types[number]
        if of.kind == scan.STRUCT and 0 < len(of.fields) <= _MAX_BYTES and depth:
            for field in of.fields:
                if field.type != number and start + field.offset < never.size:
                    self._cover(field.type, start + field.offset, never, padding, depth - 1)
        elif of.kind == scan.ARRAY and depth and of.length <= _MAX_BYTES:
            step = int(self._types.size[of.elem])
            for at in range(start, min(start + of.length * step, never.size), max(step, 1)):
                self._cover(of.elem, at, never, padding, depth - 1)
        else:
            padding[start : start + of.size] = 0
            if of.kind == KIND_BOOL:
                never[start : start + 1] = 0xFE
