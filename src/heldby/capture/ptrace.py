"""The few ptrace requests that a capture needs, through libc.

No package on PyPI offers PTRACE_SEIZE and register sets without a debugger around it (docs/decisions/).
All requests must come from the thread that seized. Facts: ptrace(2), waitpid(2), kernel/ptrace.c.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import time
from dataclasses import dataclass
from typing import Final, Self, TypeVar

from heldby.capture.procfs import read_text, status_fields

WALL: Final = 0x40000000  # __WALL of <linux/wait.h>
_LOOK: Final = os.WEXITED | os.WSTOPPED | os.WNOHANG | os.WNOWAIT | WALL
EVENT_CLONE: Final = 3
EVENT_STOP: Final = 128
_POKETEXT, _CONT, _DETACH, _SETOPTIONS, _GETEVENTMSG = 4, 7, 17, 0x4200, 0x4201
_GETREGSET, _SETREGSET, _SEIZE, _INTERRUPT, _GETSIGMASK = 0x4204, 0x4205, 0x4206, 0x4207, 0x420A
_SECCOMP_GET_FILTER = 0x420C
_NT_PRSTATUS = 1
_O_TRACECLONE = 0x8
_MOST_FILTERS = 64

# PyDLL keeps the interpreter's lock: in the pause no other thread of ours shall get a turn.
_libc = ctypes.PyDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)


class Registers(ctypes.Structure):
    """The general registers of a thread, in the order of NT_PRSTATUS; every processor has its own."""

    @property
    def pc(self) -> int:
        """The address of the next instruction."""
        raise NotImplementedError

    def copy(self) -> Self:
        """Return registers of their own with the same values."""
        return type(self).from_buffer_copy(self)

    def as_dict(self) -> dict[str, int]:
        """Return the values by name."""
        return {field[0]: getattr(self, field[0]) for field in self._fields_}


R = TypeVar("R", bound=Registers)


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a traced thread stands still, or that it ended.

    Attributes:
        signal: what `PTRACE_DETACH` must deliver for the thread to go on as if nothing had been; 0 for none.
        event: `EVENT_CLONE`, `EVENT_STOP` or 0.
        ended: the thread is gone.
        group: the process is stopped by SIGSTOP or its like.
    """

    signal: int = 0
    event: int = 0
    ended: bool = False
    group: bool = False


def _ptrace(request: int, tid: int, addr: int = 0, data: int = 0) -> int:
    result: int = _libc.ptrace(request, tid, addr, data)
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def seize(tid: int) -> None:
    """Become the tracer of a thread without stopping it and without any option."""
    _ptrace(_SEIZE, tid)


def interrupt(tid: int) -> None:
    """Ask a seized thread to stop."""
    _ptrace(_INTERRUPT, tid)


def resume(tid: int, signal_number: int = 0) -> None:
    """Let a stopped thread run on, still traced, delivering `signal_number`."""
    _ptrace(_CONT, tid, 0, signal_number)


def detach(tid: int, signal_number: int = 0) -> None:
    """Let a stopped thread go, delivering `signal_number`."""
    _ptrace(_DETACH, tid, 0, signal_number)


def follow_clones(tid: int) -> None:
    """Stop a thread when it has cloned, and be the tracer of what it cloned."""
    _ptrace(_SETOPTIONS, tid, 0, _O_TRACECLONE)


def event_message(tid: int) -> int:
    """Return what an event stop reports: the id of the new task for `EVENT_CLONE`."""
    value = ctypes.c_ulong()
    _ptrace(_GETEVENTMSG, tid, 0, ctypes.addressof(value))
    return value.value


def read_registers(tid: int, kind: type[R]) -> R:
    """Return the general registers of a stopped thread."""
    registers = kind()
    vector = _Vector(ctypes.addressof(registers), ctypes.sizeof(registers))
    _ptrace(_GETREGSET, tid, _NT_PRSTATUS, ctypes.addressof(vector))
    return registers


def read_register_set(tid: int, kind: int, most: int) -> bytes:
    """Return up to `most` bytes of a register set of a stopped thread, named by the type of its core note.

    Raises `OSError`: ENODEV, or EINVAL, for one that the processor or the kernel has not.
    """
    buffer = ctypes.create_string_buffer(most)
    vector = _Vector(ctypes.addressof(buffer), most)
    _ptrace(_GETREGSET, tid, kind, ctypes.addressof(vector))
    return buffer.raw[: vector.size]


def write_registers(tid: int, registers: Registers) -> None:
    """Set all general registers of a stopped thread in one system call."""
    vector = _Vector(ctypes.addressof(registers), ctypes.sizeof(registers))
    _ptrace(_SETREGSET, tid, _NT_PRSTATUS, ctypes.addressof(vector))


def read_signal_mask(tid: int) -> int:
    """Return the 64 bits of blocked signals of a stopped thread."""
    mask = ctypes.c_uint64()
    _ptrace(_GETSIGMASK, tid, 8, ctypes.addressof(mask))
    return mask.value


def read_seccomp_filters(tid: int) -> list[bytes]:
    """Return the seccomp filters of a stopped thread as arrays of ``struct sock_filter``.

    Raises `OSError`: EACCES without CAP_SYS_ADMIN, EINVAL for a kernel without this request.
    """
    filters: list[bytes] = []
    while len(filters) < _MOST_FILTERS:
        try:
            count = _ptrace(_SECCOMP_GET_FILTER, tid, len(filters), 0)
        except OSError as error:
            if error.errno == errno.ENOENT:
                break
            raise
        buffer = ctypes.create_string_buffer(8 * count)
        _ptrace(_SECCOMP_GET_FILTER, tid, len(filters), ctypes.addressof(buffer))
        filters.append(buffer.raw)
    return filters


def write_code(tid: int, addr: int, code: bytes) -> None:
    """Write `code`, a multiple of 8 bytes, over read-only memory; the page becomes private to the process."""
    for offset in range(0, len(code), 8):
        _ptrace(_POKETEXT, tid, addr + offset, int.from_bytes(code[offset : offset + 8], "little"))


def poll_stop(tid: int) -> Stop | None:
    """Return the stop that a thread has come to, or None while it runs.

    Looks without taking (WNOWAIT): a stop that was waited for loses its signal (wait_task_stopped in
    kernel/exit.c clears it), and should we be killed then, the signal would never reach the process.
    """
    try:
        found = os.waitid(os.P_PID, tid, _LOOK)
        if found is None:
            return None
        if found.si_code not in (os.CLD_TRAPPED, os.CLD_STOPPED):
            if not _is_our_child(tid):
                os.waitpid(tid, WALL | os.WNOHANG)
            return Stop(ended=True)
    except ChildProcessError:
        return Stop(ended=True)
    event, number = found.si_status >> 8, found.si_status & 0xFF
    if event == EVENT_STOP:
        return Stop(event=EVENT_STOP, group=number != signal.SIGTRAP)
    if event:
        return Stop(event=event)
    return Stop(signal=number)


def _is_our_child(pid: int) -> bool:
    """Tell whether whoever started this process inside our own program will ask for its exit code."""
    fields = status_fields(read_text(pid, "status") or "")
    return fields.get("Tgid") == str(pid) and fields.get("PPid") == str(os.getpid())


def wait_stop(tid: int, seconds: float) -> Stop | None:
    """Return the next stop of a thread, or None if it comes to none in time.

    The first half millisecond only yields the processor: that is how long a running thread needs to stop.
    """
    start = time.monotonic()
    while True:
        stop = poll_stop(tid)
        if stop is not None:
            return stop
        waited = time.monotonic() - start
        if waited > seconds:
            return None
        time.sleep(0 if waited < 0.0005 else 0.0002)
