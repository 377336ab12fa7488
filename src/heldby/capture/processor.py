"""`Processor`: what a capture must know of the processor it runs on. One module each: amd64, arm64."""

from __future__ import annotations

import functools
import os
from typing import Any, Protocol, TypeVar

from heldby.capture.amd64 import Amd64
from heldby.capture.arm64 import Arm64
from heldby.capture.injection import StubCalls
from heldby.capture.ptrace import Registers
from heldby.errors import Unsupported
from heldby.memory.core_file import Note
from heldby.memory.image import PAGE_SIZE

R = TypeVar("R", bound=Registers)


class Processor(Protocol[R]):
    """Registers, system calls and machine code of one processor."""

    @property
    def name(self) -> str:
        """``amd64`` or ``arm64``."""

    @property
    def registers(self) -> type[R]:
        """The general registers."""

    @property
    def calls(self) -> StubCalls:
        """Numbers of the stub's system calls."""

    @property
    def forking_calls(self) -> tuple[int, ...]:
        """System calls in which a parent may sleep until its child has executed."""

    @property
    def call_registers(self) -> tuple[str, ...]:
        """The registers of a system call's number, arguments, stack and place, in the order of proc_pid_syscall(5)."""

    def suitability(self, tid: int, registers: R, addr: int) -> int | None:
        """Return how well a stopped thread can carry a stub at `addr`: 0 is best, None is not at all."""

    def build_stub(self, addr: int, registers: R, signal_mask: int) -> tuple[bytes, int]:
        """Return the code for `addr`, which ends by putting `registers` back, and the address of its start.

        The values are constants in the code, so the stub needs no memory to keep them in.
        """

    def detour(self, registers: R, start: int) -> R:
        """Return the registers with which a thread that had `registers` begins the stub."""

    def extended_notes(self, tid: int) -> list[Note]:
        """Return the core notes of a stopped thread that follow its NT_PRSTATUS."""


@functools.cache
def this_processor() -> Processor[Any]:
    """Return the processor that this machine has.

    Raises:
        Unsupported: it is none of ours, or its kernel's pages are not of 4 KiB.
    """
    found: dict[str, Processor[Any]] = {"x86_64": Amd64(), "aarch64": Arm64()}
    machine = os.uname().machine
    if machine not in found:
        raise Unsupported(
            f"processes are not captured on {machine}",
            cause="the registers and system calls of amd64 and arm64 are known",
            next_step="read a core instead: gcore PID, then heldby CORE",
        )
    page_size = os.sysconf("SC_PAGE_SIZE")
    if page_size != PAGE_SIZE:
        raise Unsupported(
            f"this kernel has pages of {page_size // 1024} KiB; processes are captured where pages are of 4 KiB",
            next_step="read a core instead: gcore PID, then heldby CORE",
        )
    return found[machine]
