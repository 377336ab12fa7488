"""Where the program's code keeps data: calls that store into maps, grow slices, send, and stores to variables.

Compiled Go stores into a map by a call with the map's type descriptor (runtime ``mapassign*``), and grows a
slice by a call with the descriptor of its elements, after which it writes the new array and capacity where
the slice lies (cmd/compile, ``ssagen.(*state).append``): ``CALL growslice; MOVQ CX, 16(DX); MOVQ AX, (DX)``.
So each such call tells the type that it is about, and the words around it tell which field or variable.
The examples are amd64's; `heldby.golang.code.instructions` has what arm64 differs in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.binary import code_constants as cc
from heldby.binary.code_references import CodeFacts
from heldby.golang.code.instructions import Operand, instructions_of
from heldby.golang.functions.functions import FunctionTable
from heldby.golang.runtime.runtime import Runtime
from heldby.golang.types.types import TypeTable
from heldby.memory.image import Bytes

U64 = NDArray[np.uint64]
_CHUNK: Final = 1 << 22
AFTER_CALL: Final = 220
"""Code behind a call in which the slice is written back; a write barrier takes 40 bytes of it."""
_BEFORE: Final = 160
_MAP_ASSIGN: Final = re.compile(rb"\x00runtime\.mapassign\w*(?=\x00)")
_GROW: Final = re.compile(rb"\x00runtime\.growslice\w*(?=\x00)")
_MAKE: Final = re.compile(rb"\x00runtime\.makeslice\w*(?=\x00)")
_STORES: Final = re.compile(rb"\x00runtime\.(?:map|growslice)\w*(?=\x00)")
_SEND: Final = re.compile(rb"\x00runtime\.(?:chansend1|selectnbsend)(?=\x00)")


@dataclass(frozen=True, slots=True)
class Operands:
    """Memory that a stretch of code names.

    Attributes:
        offsets: displacements from a register.
        addresses: fixed places.
    """

    offsets: frozenset[int]
    addresses: frozenset[int]


class StoringCode:
    """The code of a program's first module, asked for what stores where.

    Args:
        runtime: of the process.
        functions: of the process.
        types: of the process.
        facts: from `heldby.heap.code_knowledge.code_facts`, at run-time addresses.
    """

    def __init__(
        self, runtime: Runtime, functions: FunctionTable, types: TypeTable, facts: CodeFacts
    ) -> None:
        self.functions = functions
        self._facts = facts
        self._low, self._high = runtime.modules[0].range("text", "etext")
        self._instructions = instructions_of(runtime.layout.arch)
        self._code: Bytes = runtime.image.read_array(self._low, self._high - self._low)
        rows = facts.evidence.relations == cc.RELATION_CALL
        self._calls: U64 = facts.evidence.addresses[rows]
        self._subjects = types.numbers_at(facts.evidence.subjects[rows])
        self._callees = self._targets(self._calls)
        self._known_entries: dict[re.Pattern[bytes], U64] = {}

    def map_stores(self, map_type: int) -> list[int]:
        """Return the calls that store into maps of this type; of unknown types for 0."""
        return self._typed(_MAP_ASSIGN, map_type)

    def appends(self, element: int) -> list[int]:
        """Return the calls that grow slices of this element type; of unknown types for 0."""
        return self._typed(_GROW, element)

    def allocations(self, types: list[int]) -> list[int]:
        """Return the calls that allocate values of these types."""
        found = np.isin(self._subjects, types) & ~np.isin(self._callees, self._entries(_STORES))
        return [int(pc) for pc in self._calls[found]]

    @cached_property
    def sends(self) -> list[int]:
        """The calls that send into a channel; those inside ``select`` with several cases are not seen."""
        return self.calls_of(self.functions.matching(_SEND))

    @cached_property
    def growing(self) -> U64:
        """Addresses of the calls that grow slices, ascending."""
        return np.unique(self._calls[np.isin(self._callees, self._entries(_GROW))])

    @cached_property
    def making(self) -> U64:
        """Addresses of the calls that make slices, ascending."""
        return np.array(self.calls_of(self.functions.matching(_MAKE)), np.uint64)

    def calls_of(self, rows: NDArray[np.int64]) -> list[int]:
        """Return the direct calls of these functions; O(code) with NumPy."""
        entries = self.functions.arrays.entry[rows]
        found: list[int] = []
        for start in range(0, self._code.size, _CHUNK):
            at = self._instructions.calls(self._code[start : start + _CHUNK])
            places = at.astype(np.uint64) + np.uint64(self._low + start)
            found.extend(map(int, places[np.isin(self._targets(places), entries)]))
        return found

    def stores_to(self, address: int) -> list[int]:
        """Return the instructions that write the variable's word at `address`."""
        references = self._facts.references
        where = references.between(address, address + 1)
        return [int(pc) for pc in np.unique(references.instructions[where][references.is_store[where]])]

    def grown_at(self, call: int) -> Operands:
        """Return where the slice lies that a call of growslice grew: where its array and capacity are written.

        growslice returns them as its first and third result; the capacity is two words behind the array.
        """
        registers = self._instructions.registers
        start = call + self._instructions.call_bytes
        end = min(start + AFTER_CALL, self._limit(call))
        written = [each for each in self._operands(start, end) if each.access == "store"]
        places = {(each.fixed, each.value) for each in written}
        return _operands(
            each._replace(value=each.value - 16)
            for each in written
            if each.register == registers.third_result and (each.fixed, each.value - 16) in places
        )

    def beside(self, place: int, calls: U64) -> list[int]:
        """Return those of `calls`, ascending, that the function makes which holds `place`."""
        bounds = np.array([self._entry(place), self._limit(place)], np.uint64)
        first, last = np.searchsorted(calls, bounds)
        return [int(pc) for pc in calls[first:last]]

    def read_before(self, call: int) -> Operands:
        """Return what is loaded, or whose address is taken, in the stretch before a call."""
        found = self._operands(max(call - _BEFORE, self._entry(call)), call)
        return _operands(each for each in found if each.access != "store")

    def argument(self, call: int, number: int) -> Operands:
        """Return what may be argument `number` (0 or 1) of a call: what was last read into its register.

        Arguments are loaded behind the call before this one, since no register outlives a call.
        """
        registers = self._instructions.registers
        wanted = (registers.first, registers.second)[number]
        first = max(call - _BEFORE, self._entry(call))
        before = np.arange(first, call, dtype=np.uint64)
        calls = before[self._is_function(self._targets(before))]
        start = int(calls[-1]) + self._instructions.call_bytes if calls.size else first
        read = [each for each in self._operands(start, call) if each.access != "store"]
        return _operands([each for each in read if each.register == wanted][-1:])

    def _typed(self, pattern: re.Pattern[bytes], number: int) -> list[int]:
        found = (self._subjects == number) & np.isin(self._callees, self._entries(pattern))
        return [int(pc) for pc in self._calls[found]]

    def _entries(self, pattern: re.Pattern[bytes]) -> U64:
        if pattern not in self._known_entries:
            self._known_entries[pattern] = self.functions.arrays.entry[self.functions.matching(pattern)]
        return self._known_entries[pattern]

    def _entry(self, call: int) -> int:
        index = self.functions.index(call)
        return self.functions.entry(index) if index >= 0 else call

    def _limit(self, call: int) -> int:
        index = self.functions.index(call)
        return self.functions.limit(index) if index >= 0 else call

    def _is_function(self, targets: U64) -> NDArray[np.bool_]:
        entries = self.functions.arrays.entry
        at = np.minimum(np.searchsorted(entries, targets), max(entries.size - 1, 0))
        return entries[at] == targets if entries.size else np.zeros(targets.size, np.bool_)

    def _targets(self, calls: U64) -> U64:
        """Return what the call at each address calls, 0 where there is no such instruction."""
        at = calls.astype(np.int64) - self._low
        distance = self._instructions.targets(self._code, at)
        return np.where(distance != 0, at + self._low + distance, 0).astype(np.uint64)

    def _operands(self, start: int, end: int) -> Iterator[Operand]:
        code = self._code[max(start - self._low, 0) : max(end - self._low, 0)].tobytes()
        return self._instructions.operands(code, start)


def _operands(found: Iterable[Operand]) -> Operands:
    found = tuple(found)
    return Operands(
        frozenset(each.value for each in found if not each.fixed),
        frozenset(each.value for each in found if each.fixed),
    )
