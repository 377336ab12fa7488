"""Which instructions store into a field of a type, or into a word of a variable, as the typed scan of the code says."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from heldby.binary import code_constants as cc
from heldby.binary.code_references import WordStores
from heldby.golang.code.pointer_words import TypeIds
from heldby.golang.types import type_scan as scan
from heldby.golang.types.types import TypeTable

I64 = NDArray[np.int64]
_MOST_DEPTH = 16


class WordStoring:
    """Finds them; O(log stores) a question."""

    def __init__(self, types: TypeTable, ids: TypeIds, stores: WordStores) -> None:
        self._types = types
        self._ids = ids
        order = np.argsort(stores.places, kind="stable")
        self._places = stores.places[order]
        self._instructions = stores.instructions[order]
        self._is_whole = (stores.relations == cc.RELATION_IS)[order]
        self._subjects = stores.subjects[order]
        sliced = stores.instructions[stores.relations == cc.RELATION_SLICE_OF]
        self._slices = np.unique(sliced)

    def into_field(self, owner: int, offset: int | None) -> list[int]:
        """Return the instructions that store into the word at `offset` of values of type `owner`.

        A pointer to a struct inside of it counts, and a copy of a struct that holds the word.
        """
        found: set[int] = set()
        if owner and offset is not None:
            for number, inside in self._ways(owner, offset):
                found |= self._at(int(self._ids.of[number]) << cc.OFFSET_BITS, inside)
        return sorted(found)

    def into_variable(self, address: int | None) -> list[int]:
        """Return the instructions that store into the word at `address`, directly or as part of a copy."""
        return sorted(self._at(address << cc.OFFSET_BITS, None)) if address else []

    def slices_between(self, start: int, end: int) -> set[int]:
        """Return the instructions there that store the beginning of a slice into a word that is known."""
        first, last = np.searchsorted(self._slices, np.array([start, end], np.uint64))
        return set(self._slices[first:last].tolist())

    def _ways(self, owner: int, offset: int) -> list[tuple[int, int]]:
        """Return the word as a place in `owner` and in each struct inside of it that holds the word."""
        found: list[tuple[int, int]] = []
        number = owner
        for _ in range(_MOST_DEPTH):
            if number >= self._ids.of.size or not 0 <= offset < cc.MOST_OFFSET:
                break
            kind = int(self._types.kind[number])
            if kind == scan.ARRAY and self._types.size[self._types.elem[number]]:
                number = int(self._types.elem[number])
                offset %= int(self._types.size[number])
                continue
            # A pointer to a string may be one to any string; a pointer to a struct says which one it is.
            if number == owner or kind == scan.STRUCT:
                found.append((number, offset))
            if kind != scan.STRUCT:
                break
            inner = [
                (each, start)
                for each, start in self._types.field_places(number)
                if start <= offset < start + int(self._types.size[each])
            ]
            if not inner:
                break
            number, offset = inner[0][0], offset - inner[0][1]
        return found

    def _at(self, place: int, offset: int | None) -> set[int]:
        """Return what stores there: into this word, or a copy of a struct that begins before it and holds it."""
        word = place + (offset or 0)
        first, last = np.searchsorted(self._places, (word, word + 1))
        found = set(self._instructions[first:last].tolist())
        if offset is not None:
            first, last = np.searchsorted(self._places, (place, word + 1))
            for row in (first + np.flatnonzero(self._is_whole[first:last])).tolist():
                size = int(self._types.size[self._ids.number(int(self._subjects[row]))])
                if int(self._places[row]) + size > word:
                    found.add(int(self._instructions[row]))
        return found
