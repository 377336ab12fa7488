"""Where the program's code keeps data: calls that store into maps, grow slices, send, and stores to variables.

Compiled Go stores into a map by a call with the map's type descriptor (runtime ``mapassign*``), and grows a
slice by a call with the descriptor of its elements, after which it writes the new array and capacity where
the slice lies (cmd/compile, ``ssagen.(*state).append``): ``CALL growslice; MOVQ CX, 16(DX); MOVQ AX, (DX)``.
So each such call tells the type that it is about, and the words around it tell which field or variable.
Only amd64 is read; on other processors there are no sites.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.binary import code_constants as cc
from heldby.binary.code_references import CodeFacts
from heldby.golang.functions.functions import FunctionTable
from heldby.golang.runtime.runtime import Runtime
from heldby.golang.types.types import TypeTable
from heldby.memory.image import Bytes

U64 = NDArray[np.uint64]
_CALL_BYTES: Final = 5
_CHUNK: Final = 1 << 22
AFTER_CALL: Final = 220
"""Code behind a call in which the slice is written back; a write barrier takes 40 bytes of it."""
_BEFORE: Final = 160
_MAP_ASSIGN: Final = re.compile(rb"\x00runtime\.mapassign\w*(?=\x00)")
_GROW: Final = re.compile(rb"\x00runtime\.growslice\w*(?=\x00)")
_STORES: Final = re.compile(rb"\x00runtime\.(?:map|growslice)\w*(?=\x00)")
_SEND: Final = re.compile(rb"\x00runtime\.(?:chansend1|selectnbsend)(?=\x00)")
_STORE, _LOAD, _ADDRESS = 0x89, 0x8B, 0x8D
_AX, _CX, _BX = 0, 1, 3
_FIXED, _OFFSET = "fixed", "offset"


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
        readable = runtime.layout.arch == "amd64"
        self._code: Bytes = (
            runtime.image.read_array(self._low, self._high - self._low) if readable else np.zeros(0, np.uint8)
        )
        rows = facts.evidence.relations == cc.RELATION_CALL
        self._calls: U64 = facts.evidence.addresses[rows] if readable else np.zeros(0, np.uint64)
        self._subjects = (
            types.numbers_at(facts.evidence.subjects[rows]) if readable else np.zeros(0, np.uint32)
        )
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

    def calls_of(self, rows: NDArray[np.int64]) -> list[int]:
        """Return the direct calls of these functions; O(code) with NumPy."""
        entries = self.functions.arrays.entry[rows]
        found: list[int] = []
        for start in range(0, self._code.size, _CHUNK):
            at = np.flatnonzero(self._code[start : start + _CHUNK] == 0xE8)
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

        growslice returns them in AX and CX; the capacity is two words behind the array.
        """
        start = call + _CALL_BYTES
        written = list(self._operands(start, min(start + AFTER_CALL, self._limit(call)), {_STORE}))
        places = {(kind, value) for kind, value, _ in written}
        grown = {
            (kind, value - 16)
            for kind, value, register in written
            if register == _CX and (kind, value - 16) in places
        }
        return _operands(grown)

    def read_before(self, call: int) -> Operands:
        """Return what is loaded, or whose address is taken, in the stretch before a call."""
        found = self._operands(max(call - _BEFORE, self._entry(call)), call, {_LOAD, _ADDRESS})
        return _operands({(kind, value) for kind, value, _ in found})

    def argument(self, call: int, number: int) -> Operands:
        """Return what may be argument `number` (0 or 1) of a call: what was last read into its register.

        Arguments are loaded behind the call before this one, since no register outlives a call.
        """
        first = max(call - _BEFORE, self._entry(call))
        before = np.arange(first, call, dtype=np.uint64)
        calls = before[np.isin(self._targets(before), self.functions.arrays.entry)]
        start = int(calls[-1]) + _CALL_BYTES if calls.size else first
        last: set[tuple[str, int]] = set()
        for kind, value, register in self._operands(start, call, {_LOAD, _ADDRESS}):
            if register == (_AX, _BX)[number]:
                last = {(kind, value)}
        return _operands(last)

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

    def _targets(self, calls: U64) -> U64:
        """Return what ``CALL rel32`` at each address calls, 0 where there is no such instruction."""
        at = calls.astype(np.int64) - self._low
        inside = (at >= 0) & (at <= self._code.size - _CALL_BYTES)
        at = np.where(inside, at, 0)
        if not self._code.size:
            return np.zeros(calls.size, np.uint64)
        distance = np.zeros(at.size, np.uint32)
        for byte in range(4):
            distance |= self._code[np.minimum(at + 1 + byte, self._code.size - 1)].astype(
                np.uint32
            ) << np.uint32(8 * byte)
        is_call = inside & (self._code[at] == 0xE8)
        targets = at + self._low + _CALL_BYTES + distance.view(np.int32)
        return np.where(is_call, targets, 0).astype(np.uint64)

    def _operands(self, start: int, end: int, opcodes: set[int]) -> Iterator[tuple[str, int, int]]:
        """Yield kind, value and register of ``MOVQ`` and ``LEAQ`` with memory (Intel SDM, 2.1: REX.W, ModRM).

        The code is not decoded from its beginning, so a constant may look like an instruction; what is found
        narrows down a choice and is no proof by itself.
        """
        raw = self._code[max(start - self._low, 0) : max(end - self._low, 0)].tobytes()
        for at in range(len(raw) - 3):
            if raw[at] & 0xF8 != 0x48 or raw[at + 1] not in opcodes:
                continue
            mode, base = raw[at + 2] >> 6, raw[at + 2] & 7
            # Through R11 the write barrier's buffer is written (cmd/compile, gcWriteBarrier).
            if mode == 3 or (base == 3 and raw[at] & 1):
                continue
            # Of what has a SIB byte only (R12) counts: with an index it is an element, (SP) is the frame.
            if base == 4 and (raw[at + 3] & 0x3F != 0x24 or not raw[at] & 1):
                continue
            register = (raw[at + 2] >> 3 & 7) | (raw[at] & 4) << 1
            after = at + 3 + (base == 4)  # a SIB byte
            size = (0, 1, 4)[mode] if not (mode == 0 and base == 5) else 4
            value = int.from_bytes(raw[after : after + size], "little", signed=True) if size else 0
            if mode == 0 and base == 5:
                yield _FIXED, start + after + size + value, register
            else:
                yield _OFFSET, value, register


def _operands(found: set[tuple[str, int]]) -> Operands:
    return Operands(
        frozenset(value for kind, value in found if kind == _OFFSET),
        frozenset(value for kind, value in found if kind == _FIXED),
    )
