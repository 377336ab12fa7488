"""Calls, and operands in memory, in stretches of compiled code: what the two processors differ in.

The code is not decoded from its beginning, so on amd64 a constant may look like an instruction; what is found
narrows down a choice and is no proof by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from heldby.memory.image import Bytes

Access = Literal["store", "load", "address"]
_STORE, _LOAD, _ADDRESS = 0x89, 0x8B, 0x8D
_ACCESS: Final[dict[int, Access]] = {_STORE: "store", _LOAD: "load", _ADDRESS: "address"}


class Operand(NamedTuple):
    """Memory that an instruction names: loads, stores, or takes the address of.

    Attributes:
        access: what it does.
        fixed: whether `value` is an address; otherwise it is the displacement from a register.
        register: what is loaded, stored, or gets the address.
    """

    access: Access
    fixed: bool
    value: int
    register: int


@dataclass(frozen=True, slots=True)
class Registers:
    """Which registers Go's internal ABI gives to arguments and results (src/cmd/compile/abi-internal.md)."""

    first: int
    second: int
    third_result: int


class Instructions(Protocol):
    """What must be known of a processor; `code` is a stretch that begins at address `start`."""

    call_bytes: int
    registers: Registers

    def calls(self, code: Bytes) -> NDArray[np.intp]:
        """Return where calls begin, or seem to."""

    def targets(self, code: Bytes, at: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how far from each of the places `at` the function lies that is called there; 0 for no call."""

    def operands(self, code: bytes, start: int) -> Iterator[Operand]:
        """Yield the operands of 64-bit loads, stores and additions of addresses, but for those on the stack."""


class Amd64Instructions:
    """``CALL rel32``, ``MOVQ``, ``LEAQ`` (Intel SDM, 2.1: REX.W, ModRM)."""

    call_bytes = 5
    registers = Registers(0, 3, 1)  # AX, BX, CX

    def calls(self, code: Bytes) -> NDArray[np.intp]:
        """Return where there is the opcode of a direct call."""
        return np.flatnonzero(code == 0xE8)

    def targets(self, code: Bytes, at: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the distances of direct calls."""
        inside = (at >= 0) & (at <= code.size - self.call_bytes)
        if not code.size:
            return np.zeros(at.size, np.int64)
        at = np.where(inside, at, 0)
        distance = np.zeros(at.size, np.uint32)
        for byte in range(4):
            distance |= code[np.minimum(at + 1 + byte, code.size - 1)].astype(np.uint32) << np.uint32(
                8 * byte
            )
        is_call = inside & (code[at] == 0xE8)
        return np.where(is_call, distance.view(np.int32).astype(np.int64) + self.call_bytes, 0)

    def operands(self, code: bytes, start: int) -> Iterator[Operand]:
        """Yield those of ``MOVQ`` and ``LEAQ``."""
        for at in range(len(code) - 3):
            if code[at] & 0xF8 != 0x48 or code[at + 1] not in _ACCESS:
                continue
            access = _ACCESS[code[at + 1]]
            mode, base = code[at + 2] >> 6, code[at + 2] & 7
            # Through R11 the write barrier's buffer is written (cmd/compile, gcWriteBarrier).
            if mode == 3 or (base == 3 and code[at] & 1):
                continue
            # Of what has a SIB byte only (R12) counts: with an index it is an element, (SP) is the frame.
            if base == 4 and (code[at + 3] & 0x3F != 0x24 or not code[at] & 1):
                continue
            register = (code[at + 2] >> 3 & 7) | (code[at] & 4) << 1
            after = at + 3 + (base == 4)  # a SIB byte
            size = (0, 1, 4)[mode] if not (mode == 0 and base == 5) else 4
            value = int.from_bytes(code[after : after + size], "little", signed=True) if size else 0
            if mode == 0 and base == 5:
                yield Operand(access, fixed=True, value=start + after + size + value, register=register)
            else:
                yield Operand(access, fixed=False, value=value, register=register)


class Arm64Instructions:
    """``BL``, ``LDR``, ``STR``, ``LDP``, ``STP``, ``ADRP`` and ``ADD`` (Arm Architecture Reference Manual, C4.1)."""

    call_bytes = 4
    registers = Registers(0, 1, 2)
    # The stack, and the write barrier's buffer (runtime/asm_arm64.s, gcWriteBarrier).
    _NOT_DATA: Final = (31, 25)

    def calls(self, code: Bytes) -> NDArray[np.intp]:
        """Return where there is a ``BL``."""
        return np.flatnonzero(_words(code) >> 26 == 0x25) * 4

    def targets(self, code: Bytes, at: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the distances of ``BL``."""
        words = _words(code)
        inside = (at >= 0) & (at // 4 < words.size) & (at % 4 == 0)
        if not words.size:
            return np.zeros(at.size, np.int64)
        word = words[np.where(inside, at // 4, 0)].astype(np.int64)
        return np.where(inside & (word >> 26 == 0x25), (word << 38) >> 36, 0)

    def operands(self, code: bytes, start: int) -> Iterator[Operand]:
        """Yield those of loads and stores, alone or in pairs, and of what forms an address."""
        pages: dict[int, int] = {}
        for at, word in enumerate(_words(np.frombuffer(code, np.uint8)).tolist()):
            to, base = word & 31, word >> 5 & 31
            if word & 0x9F000000 == 0x90000000:  # ADRP
                distance = (word >> 3 & 0x1FFFFC) | (word >> 29 & 3)
                pages[to] = ((start + 4 * at) & ~0xFFF) + ((distance ^ 1 << 20) - (1 << 20) << 12)
                continue
            page = pages.get(base)
            for operand in self._of_word(word, page):
                if operand.access != "store":
                    pages.pop(operand.register, None)
                if base not in self._NOT_DATA:
                    yield operand

    def _of_word(self, word: int, page: int | None) -> Iterator[Operand]:
        fixed, low = page is not None, page or 0
        to, opcode = word & 31, word & 0xFFC00000
        access: Access = "load" if word & 0x400000 else "store"
        if opcode in (0xF9000000, 0xF9400000):
            yield Operand(access, fixed, low + (word >> 10 & 0xFFF) * 8, to)
        elif opcode in (0xA9000000, 0xA9400000):
            offset = ((word >> 15 & 0x7F) ^ 0x40) - 0x40
            yield Operand(access, fixed, low + offset * 8, to)
            yield Operand(access, fixed, low + offset * 8 + 8, word >> 10 & 31)
        elif opcode == 0x91000000:
            yield Operand("address", fixed, low + (word >> 10 & 0xFFF), to)


def _words(code: Bytes) -> NDArray[np.uint32]:
    return np.ascontiguousarray(code[: code.size // 4 * 4]).view(np.uint32)


def instructions_of(machine: str) -> Instructions:
    """Return what is known of ``amd64`` or ``arm64``."""
    return Arm64Instructions() if machine == "arm64" else Amd64Instructions()
