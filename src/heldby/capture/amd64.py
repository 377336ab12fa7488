"""amd64: registers, system calls and the stub that makes the target copy itself (`heldby.capture.injection`)."""

from __future__ import annotations

import ctypes
import errno
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
from heldby.memory.core_file import AMD64_REGISTERS, Note
from heldby.memory.core_writer import NT_FPREGSET, NT_X86_XSTATE

_CALLS: Final = StubCalls(
    audit_arch=0xC000003E, rt_sigprocmask=14, clone=56, wait4=61, exit=60, exit_group=231
)
_SYS_RESTART: Final = 219
_MOST_XSTATE_BYTES: Final = 1 << 14  # 11,008 with AMX
_FXSAVE_BYTES: Final = 512
_NO_SYSTEM_CALL: Final = (1 << 64) - 1
_ERESTARTSYS, _ERESTARTNOINTR, _ERESTARTNOHAND, _ERESTART_RESTARTBLOCK = 512, 513, 514, 516
_USER_CODE_64: Final = 0x33
_SYSCALL: Final = b"\x0f\x05"
_CARRY, _PARITY, _ADJUST, _ZERO, _SIGN, _DIRECTION, _OVERFLOW = 1, 4, 16, 64, 128, 1024, 2048
_SYS_FUTEX: Final = 202


class Amd64Registers(Registers):
    """``struct user_regs_struct`` of amd64, in the order of NT_PRSTATUS."""

    _fields_ = tuple((name, ctypes.c_uint64) for name in AMD64_REGISTERS)

    rax: int
    orig_rax: int
    rip: int
    cs: int
    eflags: int

    @property
    def pc(self) -> int:
        """The address of the next instruction."""
        return self.rip


@dataclass(frozen=True, slots=True)
class Amd64:
    """See `heldby.capture.processor.Processor`."""

    name: ClassVar[str] = "amd64"
    registers: ClassVar[type[Amd64Registers]] = Amd64Registers
    calls: ClassVar[StubCalls] = _CALLS
    forking_calls: ClassVar[tuple[int, ...]] = (56, 57, 58, 435)  # clone, fork, vfork, clone3
    call_registers: ClassVar[tuple[str, ...]] = (
        *("orig_rax", "rdi", "rsi", "rdx", "r10", "r8", "r9", "rsp", "rip"),
    )

    def suitability(self, _tid: int, registers: Amd64Registers, _addr: int) -> int | None:
        """Return how well a stopped thread can carry the stub: 0 is best, None is not at all.

        Best is a thread that waits in a futex: every Go process has some. A thread in user code comes last,
        for C code may be inside a restartable sequence (rseq(2)) that would not notice the detour.
        """
        if registers.cs != _USER_CODE_64 or registers.rip >> 47:
            return None
        if registers.orig_rax == _NO_SYSTEM_CALL:
            return 3
        code = -_signed(registers.rax)
        if code == _ERESTARTNOHAND:
            # pause(2) and its like must return when a signal came; restarting them could sleep for ever.
            return None
        if code in (_ERESTARTSYS, _ERESTARTNOINTR, _ERESTART_RESTARTBLOCK):
            return 0 if registers.orig_rax == _SYS_FUTEX else 1
        return 2

    def build_stub(self, addr: int, registers: Amd64Registers, signal_mask: int) -> tuple[bytes, int]:
        """Return the code for `addr`, which ends by putting `registers` back, and the address of its start."""
        return _build_stub(addr, registers, signal_mask)

    def detour(self, registers: Amd64Registers, start: int) -> Amd64Registers:
        """Return the registers with which a thread that had `registers` begins the stub."""
        detour = registers.copy()
        detour.rip = start
        # No system call to restart: the kernel must not touch rip and rax on the way.
        detour.orig_rax = _NO_SYSTEM_CALL
        return detour

    def extended_notes(self, tid: int) -> list[Note]:
        """Return NT_FPREGSET and NT_X86_XSTATE: what XSAVE stores; its first 512 bytes are what FXSAVE does.

        A CPU without XSAVE has those alone.
        """
        try:
            saved = ptrace.read_register_set(tid, NT_X86_XSTATE, _MOST_XSTATE_BYTES)
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise
            saved = ptrace.read_register_set(tid, NT_FPREGSET, _MOST_XSTATE_BYTES)
        notes = [(NT_FPREGSET, b"CORE", saved[:_FXSAVE_BYTES])] if saved else []
        return [*notes, (NT_X86_XSTATE, b"LINUX", saved)] if len(saved) > _FXSAVE_BYTES else notes


def _build_stub(addr: int, registers: Amd64Registers, signal_mask: int) -> tuple[bytes, int]:
    resumed = _resumed(registers)
    code = _Assembler(addr)
    code.literal("everything", EVERY_SIGNAL)
    code.literal("mask", signal_mask)
    code.literal("target", resumed.rip)
    code.label("start")
    code.set_signal_mask("everything")
    code.system_call(_CALLS.clone, rdi=HELPER_FLAGS, rsi=0)
    code.emit(b"\x85\xc0")  # test eax, eax
    code.short_jump(b"\x74", "helper")  # jz
    code.set_signal_mask("mask")
    code.restore_flags(resumed.eflags)
    for name, opcode in _MOV_IMM64.items():
        code.emit(opcode + struct.pack("<Q", getattr(resumed, name)))
    code.relative(b"\xff\x25", "target")  # jmp [rip + target]

    code.label("helper")
    code.system_call(_CALLS.clone, rdi=COPY_FLAGS, rsi=0)
    code.emit(b"\x85\xc0")
    code.short_jump(b"\x74", "copy")
    code.short_jump(b"\x78", "end")  # js: the fork failed
    code.emit(b"\x41\x89\xc0")  # mov r8d, eax
    code.label("wait")
    code.emit(b"\x44\x89\xc7")  # mov edi, r8d
    code.emit(b"\xba" + struct.pack("<I", ptrace.WALL) + b"\x45\x31\xd2")  # mov edx, __WALL; xor r10d, r10d
    code.system_call(_CALLS.wait4, rsi=0)
    code.emit(b"\x83\xf8\xfc")  # cmp eax, -EINTR
    code.short_jump(b"\x74", "wait")
    code.label("end")
    code.system_call(_CALLS.exit, rdi=0)
    code.label("copy")
    code.system_call(_CALLS.exit_group, rdi=0)
    code.emit(b"\x0f\x0b")  # ud2: not reached
    return code.finish(CODE_SIZE), code.labels["start"]


def _resumed(registers: Amd64Registers) -> Amd64Registers:
    """Return the registers with which user code goes on, a system call to be restarted included.

    What the kernel would do on the way back to user mode (arch/x86/kernel/signal.c,
    arch_do_signal_or_restart), done by hand.
    """
    resumed = registers.copy()
    if registers.orig_rax != _NO_SYSTEM_CALL:
        code = -_signed(registers.rax)
        if code in (_ERESTARTSYS, _ERESTARTNOINTR, _ERESTARTNOHAND):
            resumed.rax = registers.orig_rax
            resumed.rip = registers.rip - 2
        elif code == _ERESTART_RESTARTBLOCK:
            resumed.rax = _SYS_RESTART
            resumed.rip = registers.rip - 2
    return resumed


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


# What the stub's system calls change: arguments, and rcx and r11 (the syscall instruction itself).
_MOV_IMM64: Final = {
    "rax": b"\x48\xb8", "rcx": b"\x48\xb9", "rdx": b"\x48\xba", "rsi": b"\x48\xbe", "rdi": b"\x48\xbf",
    "r10": b"\x49\xba", "r11": b"\x49\xbb",
}  # fmt: skip


class _Assembler:
    """Just enough of an assembler: bytes, labels, relative operands."""

    def __init__(self, addr: int) -> None:
        self.addr = addr
        self.code = bytearray()
        self.labels: dict[str, int] = {}
        self._fixups: list[tuple[int, int, str]] = []

    def emit(self, data: bytes) -> None:
        self.code += data

    def label(self, name: str) -> None:
        self.labels[name] = self.addr + len(self.code)

    def literal(self, name: str, value: int) -> None:
        self.label(name)
        self.emit(struct.pack("<Q", value))

    def relative(self, opcode: bytes, label: str) -> None:
        self._reference(opcode, 4, label)

    def short_jump(self, opcode: bytes, label: str) -> None:
        self._reference(opcode, 1, label)

    def _reference(self, opcode: bytes, size: int, label: str) -> None:
        self.emit(opcode)
        self._fixups.append((len(self.code), size, label))
        self.emit(bytes(size))

    def system_call(self, number: int, *, rdi: int | None = None, rsi: int | None = None) -> None:
        for value, move, clear in ((rdi, b"\xbf", b"\x31\xff"), (rsi, b"\xbe", b"\x31\xf6")):
            if value is not None:
                self.emit(move + struct.pack("<I", value) if value else clear)
        self.emit(b"\xb8" + struct.pack("<I", number) + _SYSCALL)

    def set_signal_mask(self, label: str) -> None:
        self.emit(b"\xbf" + struct.pack("<I", SIG_SETMASK))  # mov edi, ...
        self.relative(b"\x48\x8d\x35", label)  # lea rsi, [rip + label]
        self.emit(b"\x31\xd2" + b"\x41\xba\x08\x00\x00\x00")  # xor edx, edx; mov r10d, 8
        self.system_call(_CALLS.rt_sigprocmask)

    def restore_flags(self, flags: int) -> None:
        """Set the arithmetic flags and the direction flag without a stack; changes rax only."""
        self.emit(b"\xb0" + (b"\x7f" if flags & _OVERFLOW else b"\x00"))  # mov al, ...
        self.emit(b"\x04\x01")  # add al, 1: overflows from 127
        lower = flags & (_CARRY | _PARITY | _ADJUST | _ZERO | _SIGN)
        self.emit(b"\xb4" + bytes([lower | 2]) + b"\x9e")  # mov ah, ...; sahf
        self.emit(b"\xfd" if flags & _DIRECTION else b"\xfc")  # std or cld

    def finish(self, size: int) -> bytes:
        for at, width, label in self._fixups:
            distance = self.labels[label] - (self.addr + at + width)
            self.code[at : at + width] = distance.to_bytes(width, "little", signed=True)
        if len(self.code) > size:
            raise AssertionError(f"the stub has {len(self.code)} bytes")
        return bytes(self.code) + b"\xcc" * (size - len(self.code))
