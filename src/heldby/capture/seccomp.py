"""Whether a seccomp filter of the target lets the stub's system calls pass.

A filter may answer a system call it does not know by killing the process, so the calls are tried on the
filter itself: it is read with PTRACE_SECCOMP_GET_FILTER and run here. Classic BPF as in <linux/filter.h>,
with what seccomp(2) allows of it.
"""

from __future__ import annotations

import functools
import struct
from typing import Final

from heldby.capture.injection import StubCalls

_ALLOW, _LOG = 0x7FFF0000, 0x7FFC0000
_ACTION: Final = 0xFFFF0000
_LOAD, _LOADX, _STORE, _STOREX, _ALU, _JUMP, _RETURN, _MISC = range(8)
_MODE_IMMEDIATE, _MODE_ABSOLUTE, _MODE_MEMORY, _MODE_LENGTH = 0x00, 0x20, 0x60, 0x80
_USES_X: Final = 0x08
_MASK: Final = 0xFFFFFFFF
_MEMORY_WORDS: Final = 16


@functools.lru_cache(maxsize=16)
def refused_calls(calls: StubCalls, filters: tuple[bytes, ...], addr: int) -> tuple[int, ...]:
    """Return the system calls of the stub that some filter would not simply allow; remembered.

    Args:
        calls: this processor's.
        filters: programs as PTRACE_SECCOMP_GET_FILTER gives them.
        addr: where the stub will lie; filters may ask.
    """
    refused = []
    for number, arguments in calls.with_arguments():
        rest = [0] * (6 - len(arguments))
        data = struct.pack("<IIQ6Q", number, calls.audit_arch, addr, *arguments, *rest)
        if any(run_filter(program, data) & _ACTION not in (_ALLOW, _LOG) for program in filters):
            refused.append(number)
    return tuple(refused)


def run_filter(program: bytes, data: bytes) -> int:
    """Return what a filter answers to a ``struct seccomp_data``; 0, which kills, for a damaged filter."""
    code = list(struct.iter_unpack("<HBBI", program))
    machine = _Machine(data)
    at = 0
    while at < len(code):
        operation, if_true, if_false, constant = code[at]
        at += 1
        kind = operation & 7
        if kind == _RETURN:
            return machine.accumulator if operation & 0x18 == 0x10 else constant
        if kind == _JUMP:
            at += machine.jump(operation, if_true, if_false, constant)
        elif not machine.step(kind, operation, constant):
            return 0
    return 0


class _Machine:
    """The registers and the memory of a filter."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.accumulator = 0
        self.index = 0
        self.memory = [0] * _MEMORY_WORDS

    def jump(self, operation: int, if_true: int, if_false: int, constant: int) -> int:
        """Return how many instructions to skip."""
        other = self.index if operation & _USES_X else constant
        match operation & 0xF0:
            case 0x00:
                return constant
            case 0x10:
                holds = self.accumulator == other
            case 0x20:
                holds = self.accumulator > other
            case 0x30:
                holds = self.accumulator >= other
            case _:
                holds = bool(self.accumulator & other)
        return if_true if holds else if_false

    def step(self, kind: int, operation: int, constant: int) -> bool:
        """Run an instruction that goes on to the next one; return whether it made sense."""
        if kind in (_LOAD, _LOADX):
            value = self._load(operation & 0xE0, constant)
            if value is None:
                return False
            if kind == _LOAD:
                self.accumulator = value
            else:
                self.index = value
        elif kind in (_STORE, _STOREX):
            if constant >= _MEMORY_WORDS:
                return False
            self.memory[constant] = self.accumulator if kind == _STORE else self.index
        elif kind == _ALU:
            return self._compute(operation & 0xF0, self.index if operation & _USES_X else constant)
        elif operation & 0xF8:
            self.accumulator = self.index
        else:
            self.index = self.accumulator
        return True

    def _load(self, mode: int, constant: int) -> int | None:
        if mode == _MODE_IMMEDIATE:
            return constant
        if mode == _MODE_LENGTH:
            return len(self.data)
        if mode == _MODE_ABSOLUTE and constant + 4 <= len(self.data):
            return int.from_bytes(self.data[constant : constant + 4], "little")
        if mode == _MODE_MEMORY and constant < _MEMORY_WORDS:
            return self.memory[constant]
        return None

    def _compute(self, operation: int, other: int) -> bool:
        a = self.accumulator
        match operation:
            case 0x00:
                a += other
            case 0x10:
                a -= other
            case 0x20:
                a *= other
            case 0x30 if other:
                a //= other
            case 0x40:
                a |= other
            case 0x50:
                a &= other
            case 0x60:
                a <<= other & 31
            case 0x70:
                a >>= other & 31
            case 0x80:
                a = -a
            case 0x90 if other:
                a %= other
            case 0xA0:
                a ^= other
            case _:
                return False
        self.accumulator = a & _MASK
        return True
