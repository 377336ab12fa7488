"""arm64: registers, system calls and the stub that makes the target copy itself (`heldby.capture.injection`).

Two things differ from amd64. When a thread in a system call stops for its tracer, the kernel has prepared the
restart already: x0 holds the first argument again and pc the address of the ``svc`` (do_signal in
arch/arm64/kernel/signal.c does so "here so that a debugger will see the already changed PC"), and it has
forgotten the system call, so NT_ARM_SYSTEM_CALL says -1. What the kernel would still do when the thread runs on
depends on a result that nobody can see any more; a thread is chosen only where that makes no difference.
And no jump reaches everywhere without a register: the stub ends with a direct branch, 128 MiB either way.
"""

from __future__ import annotations

import ctypes
import os
import struct
from dataclasses import dataclass
from typing import ClassVar, Final

from heldby.capture import ptrace
from heldby.capture.injection import (
    CODE_SIZE,
    COPY_FLAGS,
    EVERY_SIGNAL,
    HELPER_FLAGS,
    SIG_SETMASK,
    StubCalls,
)
from heldby.capture.ptrace import Registers
from heldby.memory.core_file import ARM64_REGISTERS, Note

_CALLS: Final = StubCalls(
    audit_arch=0xC00000B7, rt_sigprocmask=135, clone=220, wait4=260, exit=93, exit_group=94
)
_SYS_FUTEX: Final = 98
_FUTEX_COMMAND: Final = 0x7F  # <linux/futex.h>: without FUTEX_PRIVATE_FLAG and FUTEX_CLOCK_REALTIME
_FUTEX_WAIT, _FUTEX_WAIT_BITSET = 0, 9
# read, readv, waitid, accept, recvfrom, recvmsg, accept4, wait4: interrupted, they are restarted as they were
# (ERESTARTSYS, ERESTARTNOINTR); none ends early for good (ERESTARTNOHAND) or counts time (ERESTART_RESTARTBLOCK).
_PLAIN_RESTARTS: Final = frozenset((63, 65, 95, 202, 207, 212, 242, 260))
_SVC: Final = 0xD4000001
_MODE_32: Final = 1 << 4  # pstate, PSR_MODE32_BIT
_BRANCH_TYPE: Final = 3 << 10  # pstate, PSR_BTYPE_MASK
_NT_PRFPREG, _FPSIMD_BYTES = 2, 528
_NT_ARM_TLS, _NT_ARM_PAC_MASK = 0x401, 0x406
_REACH: Final = 1 << 27
# What the stub changes. Linux on arm64 keeps every register over a system call but x0, and the flags.
_CHANGED: Final = (0, 1, 2, 3, 8)


class Arm64Registers(Registers):
    """``struct user_pt_regs`` of arm64, in the order of NT_PRSTATUS."""

    _fields_ = tuple((name, ctypes.c_uint64) for name in ARM64_REGISTERS)

    x0: int
    x1: int
    x3: int
    x8: int
    sp: int
    pc: int
    pstate: int


@dataclass(frozen=True, slots=True)
class Arm64:
    """See `heldby.capture.processor.Processor`."""

    name: ClassVar[str] = "arm64"
    registers: ClassVar[type[Arm64Registers]] = Arm64Registers
    calls: ClassVar[StubCalls] = _CALLS
    forking_calls: ClassVar[tuple[int, ...]] = (220, 435)  # clone, clone3
    call_registers: ClassVar[tuple[str, ...]] = ("x8", "x0", "x1", "x2", "x3", "x4", "x5", "sp", "pc")

    def suitability(self, tid: int, registers: Arm64Registers, addr: int) -> int | None:
        """Return how well a stopped thread can carry a stub at `addr`: 0 is best, None is not at all.

        Best is a thread that waits in a futex without a timeout: nearly every Go process has some. A thread in
        user code is not chosen: a system call clears SVE registers (Documentation/arch/arm64/sve.rst).
        """
        if registers.pstate & _MODE_32 or registers.pc % 4 or not _is_in_reach(addr, registers.pc):
            return None
        before, now = _instructions_around(tid, registers.pc)
        if now == _SVC:
            return _restart_suitability(registers)
        return 2 if before == _SVC else None  # the system call is over; nothing is restarted

    def build_stub(self, addr: int, registers: Arm64Registers, signal_mask: int) -> tuple[bytes, int]:
        """Return the code for `addr`, which ends by putting `registers` back, and the address of its start."""
        return _build_stub(addr, registers, signal_mask)

    def detour(self, registers: Arm64Registers, start: int) -> Arm64Registers:
        """Return the registers with which a thread that had `registers` begins the stub.

        The kernel lets a restart be when it finds another pc (do_signal). In front of the landing of an
        indirect branch, BTYPE would make the stub's first instruction trap; the direct branch back needs none.
        """
        detour = registers.copy()
        detour.pc = start
        detour.pstate &= ~_BRANCH_TYPE
        return detour

    def extended_notes(self, tid: int) -> list[Note]:
        """Return NT_PRFPREG, and where the kernel has them NT_ARM_TLS and NT_ARM_PAC_MASK."""
        notes: list[Note] = [
            (_NT_PRFPREG, b"CORE", ptrace.read_register_set(tid, _NT_PRFPREG, _FPSIMD_BYTES))
        ]
        further = [(kind, b"LINUX", _optional_set(tid, kind, 16)) for kind in (_NT_ARM_TLS, _NT_ARM_PAC_MASK)]
        return notes + [note for note in further if note[2]]


def _is_in_reach(addr: int, pc: int) -> bool:
    return pc - (addr + CODE_SIZE) >= -_REACH and pc - addr < _REACH


def _instructions_around(tid: int, pc: int) -> tuple[int | None, int | None]:
    """Return the instruction before `pc` and the one at it; None where memory cannot be read."""
    try:
        fd = os.open(f"/proc/{tid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None, None
    try:
        return _instruction(fd, pc - 4), _instruction(fd, pc)
    finally:
        os.close(fd)


def _instruction(fd: int, addr: int) -> int | None:
    try:
        data = os.pread(fd, 4, addr)
    except (OSError, OverflowError):
        return None
    return int.from_bytes(data, "little") if len(data) == 4 else None


def _restart_suitability(registers: Arm64Registers) -> int | None:
    """Judge a thread in front of its ``svc``: before a system call, or sent back to one that was interrupted.

    Only a call that is restarted as it was, with the same number: then the two are the same.
    """
    if registers.x8 == _SYS_FUTEX:
        waits = registers.x1 & _FUTEX_COMMAND in (_FUTEX_WAIT, _FUTEX_WAIT_BITSET)
        # With a timeout it is restarted by restart_syscall, which knows how much time is left.
        return 0 if waits and registers.x3 == 0 else None
    return 1 if registers.x8 in _PLAIN_RESTARTS else None


def _optional_set(tid: int, kind: int, most: int) -> bytes:
    """Return a register set, empty when the processor or the kernel has none."""
    try:
        return ptrace.read_register_set(tid, kind, most)
    except OSError:
        return b""


def _build_stub(addr: int, registers: Arm64Registers, signal_mask: int) -> tuple[bytes, int]:
    code = _Assembler(addr)
    code.literal("everything", EVERY_SIGNAL)
    code.literal("mask", signal_mask)
    for number in _CHANGED:
        code.literal(f"x{number}", getattr(registers, f"x{number}"))
    code.label("start")
    code.move(0, SIG_SETMASK)
    code.address(1, "everything")
    code.move(2, 0)
    code.move(3, 8)
    code.system_call(_CALLS.rt_sigprocmask)
    code.clone(HELPER_FLAGS)
    code.branch_if_zero(0, "helper")
    code.move(0, SIG_SETMASK)
    code.address(1, "mask")
    code.system_call(_CALLS.rt_sigprocmask)  # x2 and x3 as above
    for number in _CHANGED:
        code.load(number, f"x{number}")
    code.branch(registers.pc)

    code.label("helper")
    code.clone(COPY_FLAGS)
    code.branch_if_zero(0, "copy")
    code.branch_if_negative(0, "end")  # the fork failed
    code.copy(19, 0)
    code.label("wait")
    code.copy(0, 19)
    code.move(1, 0)
    code.move(2, ptrace.WALL)
    code.move(3, 0)
    code.system_call(_CALLS.wait4)
    code.emit(0xB100101F)  # cmn x0, #4: -EINTR?
    code.branch_if_equal("wait")
    code.label("end")
    code.move(0, 0)
    code.system_call(_CALLS.exit)
    code.label("copy")
    code.move(0, 0)
    code.system_call(_CALLS.exit_group)
    return code.finish(CODE_SIZE), code.labels["start"]


class _Assembler:
    """Just enough of an assembler: words, labels, relative operands (Arm Architecture Reference Manual, C6)."""

    def __init__(self, addr: int) -> None:
        self.addr = addr
        self.words: list[int] = []
        self.labels: dict[str, int] = {}
        self._fixups: list[tuple[int, str, int, int]] = []

    @property
    def _here(self) -> int:
        return self.addr + 4 * len(self.words)

    def emit(self, word: int) -> None:
        self.words.append(word)

    def label(self, name: str) -> None:
        self.labels[name] = self._here

    def literal(self, name: str, value: int) -> None:
        self.label(name)
        self.words += (value & 0xFFFFFFFF, value >> 32)

    def move(self, register: int, value: int) -> None:
        """movz, and movk for the upper half of 32 bits."""
        low, high = value & 0xFFFF, value >> 16
        if low or not high:
            self.emit(0xD2800000 | low << 5 | register)
            if high:
                self.emit(0xF2A00000 | high << 5 | register)
        else:
            self.emit(0xD2A00000 | high << 5 | register)

    def copy(self, register: int, source: int) -> None:
        self.emit(0xAA0003E0 | source << 16 | register)  # orr register, xzr, source

    def address(self, register: int, label: str) -> None:
        """adr: the literals lie before the code and at multiples of four."""
        self._reference(0x10000000 | register, label, 19, 5)

    def load(self, register: int, label: str) -> None:
        self._reference(0x58000000 | register, label, 19, 5)  # ldr register, literal

    def branch_if_zero(self, register: int, label: str) -> None:
        self._reference(0xB4000000 | register, label, 19, 5)

    def branch_if_negative(self, register: int, label: str) -> None:
        self._reference(0xB7F80000 | register, label, 14, 5)  # tbnz register, #63

    def branch_if_equal(self, label: str) -> None:
        self._reference(0x54000000, label, 19, 5)

    def branch(self, addr: int) -> None:
        self.labels["resume"] = addr
        self._reference(0x14000000, "resume", 26, 0)

    def _reference(self, word: int, label: str, bits: int, shift: int) -> None:
        self._fixups.append((len(self.words), label, bits, shift))
        self.emit(word)

    def clone(self, flags: int) -> None:
        """The stack stays the caller's: x1 is 0. x2 to x4 are for flags that are not set."""
        self.move(0, flags)
        self.move(1, 0)
        self.system_call(_CALLS.clone)

    def system_call(self, number: int) -> None:
        self.move(8, number)
        self.emit(_SVC)

    def finish(self, size: int) -> bytes:
        for at, label, bits, shift in self._fixups:
            distance, rest = divmod(self.labels[label] - (self.addr + 4 * at), 4)
            if rest or not -(1 << bits - 1) <= distance < 1 << bits - 1:
                raise AssertionError(f"{label} is out of reach")
            self.words[at] |= (distance & (1 << bits) - 1) << shift
        if 4 * len(self.words) > size:
            raise AssertionError(f"the stub has {4 * len(self.words)} bytes")
        padding = [0xD4200000] * (size // 4 - len(self.words))  # brk: not reached
        return struct.pack(f"<{size // 4}I", *self.words, *padding)
