"""Where machine code is kept: fresh after changes, in safe folders only, and never a reason to fail.

The files (`kernel_files`) lie in a folder named after the versions of Python, Numba and llvmlite, the CPU, and how
this package compiles. Folders that others could write to are not used, because what they hold is executed (and
heldby is often run with sudo, where HOME may be someone else's). Without any folder, each process compiles anew.
"""

from __future__ import annotations

import fcntl
import os
import platform
import pwd
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from heldby.digests import hex_digest
from heldby.jit.kernel_files import CompiledKernel, compiler_sources, read_kernel, write_kernel
from heldby.jit.processor import first_processor

_TOUCHED_EVERY_S: Final = 86_400
_STALE_AFTER_S: Final = 30 * 86_400
_WAIT_S: Final = 0.02
_LONGEST_WAIT: Final = 1000  # times `_WAIT_S`; the slowest kernel takes 4 s


class Place:
    """Where one kernel is kept, or would be; what another process is compiling is waited for."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._turn: int | None = None

    def read(self) -> CompiledKernel | None:
        """Return what is kept; None gives the turn to compile it, until `close`."""
        if self._path is None:
            return None
        found = read_kernel(self._path)
        return read_kernel(self._path) if found is None and self._take_turn(self._path) else found

    def write(self, made: CompiledKernel) -> None:
        """Keep it; a full disk is no reason to stop."""
        if self._path is None:
            return
        with suppress(OSError):
            write_kernel(self._path, made)

    def close(self) -> None:
        """Let others have their turn."""
        if self._turn is not None:
            os.close(self._turn)
            self._turn = None

    def _take_turn(self, path: Path) -> bool:
        """Return whether another process had the turn, which may have left what it compiled.

        The turn is a lock on a file, which ends with the process that has it.
        """
        with suppress(OSError):  # a full disk, a file system without locks: both compile
            self._turn = os.open(path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            for attempt in range(_LONGEST_WAIT):
                try:
                    fcntl.flock(self._turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    time.sleep(_WAIT_S)
                else:
                    return attempt > 0
        return False


@contextmanager
def kept(file: Path) -> Iterator[Place]:
    """Give the place in the cache of the kernel of `file` (`kernel_files.place_of`)."""
    place = Place(_path(file))
    try:
        yield place
    finally:
        place.close()


def _path(file: Path) -> Path | None:
    base = cache_folder()
    if base is None:
        return None
    path = base / file
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
    except OSError:
        return None
    _mark_used(path.parent)
    return path


@cache
def cache_folder() -> Path | None:
    """Return the folder for machine code, made if need be, or None if there is no safe one.

    ``$NUMBA_CACHE_DIR``, ``$XDG_CACHE_HOME/heldby``, ``~/.cache/heldby``, ``/tmp/heldby-<uid>``: the first
    that only this user and root can write to. What was not used for 30 days is removed now and then.
    """
    for base in _candidates():
        folder = base / f"kernels-{_environment()}"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if _is_safe(folder):
                _mark_used(folder)
                _remove_stale([*base.glob("kernels-*"), *folder.iterdir()])
                return folder
        except OSError:
            continue
    return None


def _environment() -> str:
    """Return a name for what decides about machine code beside the kernels' sources."""
    made_with = [sys.version, _release("numba"), _release("llvmlite"), *_processor()]
    made_with += [
        f"{name}={value}" for name, value in sorted(os.environ.items()) if name.startswith("NUMBA_")
    ]
    made_with.append(compiler_sources())
    return hex_digest(repr(made_with).encode(), 16)


def _release(package: str) -> str:
    """Return what a package says of its version, without importing it or `importlib.metadata` (2 MiB)."""
    found = find_spec(package)
    return Path(found.origin).with_name("_version.py").read_text("utf-8") if found and found.origin else ""


def _processor() -> list[str]:
    """Return what the kernel says of the first processor: LLVM compiles for its model and features."""
    wanted = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags", "Features", "CPU ")
    return [platform.machine(), *(line for line in first_processor() if line.startswith(wanted))]


def _candidates() -> Iterator[Path]:
    for variable in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "HOME"):
        value = os.environ.get(variable, "")
        if Path(value).is_absolute():
            yield Path(
                value, *{"NUMBA_CACHE_DIR": (), "HOME": (".cache", "heldby")}.get(variable, ("heldby",))
            )
    try:
        home = Path(pwd.getpwuid(os.geteuid()).pw_dir)
    except KeyError:  # a container's arbitrary uid
        pass
    else:
        yield home / ".cache" / "heldby"
    yield Path(tempfile.gettempdir()) / f"heldby-{os.geteuid()}"


def _is_safe(folder: Path) -> bool:
    """Return whether `folder` is this user's and nobody but root could put another one in its place.

    A group's right to write is accepted: with private groups, umask 002 is usual.
    """
    whole = folder.resolve()
    for path in (whole, *whole.parents):
        facts = path.stat()
        if facts.st_uid not in (0, os.geteuid()):
            return False
        if facts.st_mode & stat.S_IWOTH and not facts.st_mode & stat.S_ISVTX:
            return False
    return whole.stat().st_uid == os.geteuid() and os.access(whole, os.W_OK | os.X_OK)


def _mark_used(folder: Path) -> None:
    with suppress(OSError):
        if time.time() - folder.stat().st_mtime > _TOUCHED_EVERY_S:
            os.utime(folder)


def _remove_stale(folders: list[Path]) -> None:
    for folder in folders:
        with suppress(OSError):  # another process removed it
            if time.time() - folder.stat().st_mtime > _STALE_AFTER_S:
                shutil.rmtree(folder, ignore_errors=True)
