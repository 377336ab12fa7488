"""`open`: from whatever names a heap (a PID, a core file, a capture) to the heap that the commands read."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from heldby.errors import FormatError, NotCaptured, Unsupported, UsageError
from heldby.progress import QUIET, Progress

if TYPE_CHECKING:
    from heldby.memory.core_file import CoreFile
    from heldby.session import Session
    from heldby.store import Opened

Method = Literal["auto", "fork", "stop"]
Target = int | str | os.PathLike[str]

_HIGHEST_PID: Final = 1 << 22  # include/linux/threads.h, PID_MAX_LIMIT
_TARGETS: Final = "give a PID, a URL, a core file, a capture or a profile"
_COMPRESSED: Final = (
    (b"\x28\xb5\x2f\xfd", "zstd", "zstd -d"),
    (b"\x04\x22\x4d\x18", "lz4", "lz4 -d"),
    (b"\xfd7zXZ\x00", "xz", "xz -dk"),
    (b"BZh", "bzip2", "bzip2 -dk"),
)


def open(  # noqa: A001
    target: Target,
    *,
    exe: str | os.PathLike[str] | None = None,
    symbols: str | os.PathLike[str] | None = None,
    method: Method = "auto",
    cache: bool = True,
    src: str | os.PathLike[str] | None = None,
    progress: Progress = QUIET,
) -> Session:
    """Capture or open `target` and return its heap with its tables.

    A process is captured into memory, not to disk, and goes on at once; see docs/commands.md for the pause.
    The analysis of a file is kept beside it, in ``FILE.heldby``, and opened from there the next time.

    Args:
        target: a PID (a number, or its digits as text), or the path of a core file or capture.
        exe: the program's executable, for a core that does not bring it along.
        symbols: an unstripped build of the same source, for names that a stripped program lacks.
        method: how to capture a process: a copy by ``fork``, ``stop`` until all is copied, or ``auto``.
        cache: False to analyse the file whatever is kept, and to keep nothing.
        src: folder of the program's source, for the statements that store; without it their texts are read
            where the program was built.
        progress: is told of each phase.

    Raises:
        HeldbyError: one of the tree in `heldby.errors`; each says what happened, why, and what to do.

    Example:
        >>> import heldby
        >>> heldby.open("/no/such/core")
        Traceback (most recent call last):
        ...
        heldby.errors.UsageError: there is no file /no/such/core
    """
    from heldby.source import SourceLines

    source = SourceLines(Path(src) if src is not None else None)
    opened = open_kept(target, exe=exe, symbols=symbols, method=method, cache=cache, progress=progress)
    opened.keep(progress)
    from heldby.session import Session

    return Session(opened.heap, progress, source)


def open_kept(
    target: Target,
    *,
    exe: str | os.PathLike[str] | None = None,
    symbols: str | os.PathLike[str] | None = None,
    method: Method = "auto",
    cache: bool = True,
    progress: Progress = QUIET,
    tell: Callable[[str], None] | None = None,
) -> Opened:
    """Return the heap as `open` does, but leave it to the caller when its analysis is kept (`Opened.keep`).

    `tell` is told, in a sentence, what is wrong with a kept analysis, and where one is kept or why not; without
    it the logger ``heldby`` is.
    """
    executable, names = _existing_file(exe, "--exe"), _existing_file(symbols, "--symbols")
    core = open_target(target, method=method, progress=progress)
    from heldby.store import open_capture  # after the target was looked at: a wrong one is answered at once

    is_file = pid_of(target) is None
    try:
        return open_capture(
            core,
            exe=executable,
            symbols=names,
            cache=cache and is_file,
            progress=progress,
            tell=tell or logging.getLogger("heldby").warning,
        )
    except NotCaptured as error:
        # Raised deep below, where only the address is known.
        if error.cause is None:
            error.cause = (
                "; ".join(core.caveats) or "what wrote the core left pages out that the runtime uses"
            )
            error.next_step = "take it again with: heldby capture PID -o FILE"
        raise


def open_target(target: Target, *, method: Method = "auto", progress: Progress = QUIET) -> CoreFile:
    """Return the core of `target`, as for `open`, without reading the heap in it."""
    from heldby.memory.core_file import open_core

    pid = pid_of(target)
    if pid is not None:
        from heldby.capture import capture_process

        return capture_process(pid, None, method=method, progress=progress).core
    if isinstance(target, str) and "://" in target and not Path(target).exists():
        raise UsageError(
            f"{target} serves profiles, which do not hold the heap itself",
            next_step=f"give the PID of the process, or see what a profile says: heldby profile {target}",
        )
    path = Path(os.fspath(target))  # type: ignore[arg-type]  # an int is a PID
    refuse_unreadable(path)
    return open_core(path)


def pid_of(target: Target) -> int | None:
    """Return the PID that `target` is, or None for a path (``./4242`` is one). Raises `UsageError`."""
    if isinstance(target, str) and target.isascii() and target.isdigit():
        target = int(target[:20])
    if not isinstance(target, int):
        return None
    if not 0 < target <= _HIGHEST_PID:
        raise UsageError(
            f"{target} is no PID",
            cause=f"PIDs go from 1 to {_HIGHEST_PID:,}",
            next_step="list Go processes with: ps -eo pid,comm; for a file of that name, write ./NAME",
        )
    return target


def refuse_unreadable(path: Path) -> None:
    """Raise a `HeldbyError` with advice for a path that is certainly neither a core nor a capture."""
    _refuse_other_format(path, read_head(path))


def read_head(path: Path) -> bytes:
    """Return the first bytes of a regular file. Raises `UsageError` with advice for any other path."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "no regular file"
            raise UsageError(f"{path} is {kind}", next_step=_TARGETS)
        with path.open("rb") as file:
            return file.read(64)
    except FileNotFoundError:
        raise UsageError(
            f"there is no file {path}",
            next_step="give a PID, a URL, or the path of a core, capture or profile",
        ) from None
    except PermissionError as error:
        raise UsageError(
            f"{path}: {error.strerror}",
            cause="captures and cores are readable by their owner only",
            next_step="run as the file's owner, or as root",
        ) from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {error}", next_step="check the path") from error


def _refuse_other_format(path: Path, head: bytes) -> None:
    for magic, name, command in _COMPRESSED:
        if head.startswith(magic):
            raise FormatError(
                f"{path} is compressed with {name}",
                cause="systemd-coredump and many scripts compress cores",
                next_step=f"unpack it first: {command} {path}",
            )
    if head.startswith(b"\x1f\x8b"):
        from heldby.profiles.pprof_read import content_of

        if content_of(path) == "compressed core":
            raise FormatError(
                f"{path} is compressed with gzip", next_step=f"unpack it first: gunzip -k {path}"
            )
        raise FormatError(
            f"{path} is compressed with gzip and holds no core",
            cause="it is a pprof profile, which does not hold the heap itself",
            next_step=f"give the PID of the process, or see what the profile says: heldby profile {path}",
        )
    if head.startswith(b"go1.") and b"heap dump" in head:
        raise Unsupported(
            f"{path} was written by debug.WriteHeapDump, which heldby does not read yet",
            next_step="give the PID of the process, or a core file",
        )


def _existing_file(given: str | os.PathLike[str] | None, option: str) -> Path | None:
    if given is None:
        return None
    path = Path(given)
    if not path.is_file():
        raise UsageError(f"there is no executable {path}", next_step=f"check the path given with {option}")
    return path
