"""What can go wrong, as one small tree.

    HeldbyError 1
    ├── UsageError 2            the command line does not make sense
    ├── CaptureError 3          the process could not be captured
    │   ├── PermissionDenied, TargetGone, AlreadyTraced, NotGoProcess, NoSpace
    ├── FormatError 4           the file or program is not what it must be
    │   ├── NotACore, Truncated, WrongExecutable, Unsupported, CheckFailed
    ├── MissingData 5           the file is sound but lacks what is needed
    │   ├── NoExecutable, NotCaptured
    ├── LimitExceeded 6
    ├── OutputError 7           the answer could not be written
    ├── Cancelled 130
    └── InternalError 70

Each error carries what happened (the message), a likely ``cause`` and the ``next_step``; the exit code
belongs to the class. Front ends print the three and never a traceback.
"""

from __future__ import annotations

from typing import ClassVar


class HeldbyError(Exception):
    """Base of all errors that are meant for people.

    Attributes:
        message: what happened, with the offending value.
        cause: the likely reason, or None.
        next_step: what the reader can do now, or None.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, cause: str | None = None, next_step: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.cause = cause
        self.next_step = next_step


class UsageError(HeldbyError):
    """The arguments cannot be understood together."""

    exit_code = 2


class CaptureError(HeldbyError):
    """The memory of a process could not be taken; the process goes on."""

    exit_code = 3


class PermissionDenied(CaptureError):
    """The kernel does not let this user trace that process."""


class TargetGone(CaptureError):
    """The process ended before or while it was captured."""


class AlreadyTraced(CaptureError):
    """Another debugger or tracer is attached."""


class NotGoProcess(CaptureError):
    """The process runs a program that is not written in Go."""


class NoSpace(CaptureError):
    """The disk cannot hold the capture."""


class FormatError(HeldbyError):
    """A file or a program is not what it must be."""

    exit_code = 4


class NotACore(FormatError):
    """The file is no ELF core and no capture."""


class Truncated(FormatError):
    """The file ends too early to give any answer."""


class WrongExecutable(FormatError):
    """The executable is not the one that the process ran."""


class Unsupported(FormatError):
    """A format, architecture or Go release that cannot be read."""


class CheckFailed(FormatError):
    """What was read contradicts an invariant of the Go runtime.

    Attributes:
        check: the name of the invariant.
    """

    def __init__(
        self, check: str, message: str, *, cause: str | None = None, next_step: str | None = None
    ) -> None:
        super().__init__(message, cause=cause, next_step=next_step)
        self.check = check


class MissingData(HeldbyError):
    """The file is sound but does not hold what the question needs."""

    exit_code = 5


class NoExecutable(MissingData):
    """A core without the program that it came from."""


class NotCaptured(MissingData):
    """An address whose bytes are not in the capture.

    Attributes:
        addr: the first address that is missing.
    """

    def __init__(
        self, addr: int, *, what: str = "memory", cause: str | None = None, next_step: str | None = None
    ) -> None:
        super().__init__(f"{what} at {addr:#x} is not in the capture", cause=cause, next_step=next_step)
        self.addr = addr


class LimitExceeded(HeldbyError):
    """A limit that the user set, or that keeps the machine alive, was reached."""

    exit_code = 6


class OutputError(HeldbyError):
    """The answer is there but cannot be written to where it was wanted."""

    exit_code = 7


class Cancelled(HeldbyError):
    """The user stopped the work."""

    exit_code = 130


class InternalError(HeldbyError):
    """A mistake of ours."""

    exit_code = 70
