"""Where a capture goes: an unnamed file that gets its name when it is whole, or memory.

A heap holds secrets. Nothing of it may be left behind by an error, a full disk or SIGKILL: an unnamed file
(O_TMPFILE) vanishes with its last descriptor. File systems without it get a hidden name beside the target.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from pathlib import Path
from types import TracebackType

from heldby.capture.headroom import available_memory
from heldby.errors import CaptureError, NoSpace, UsageError
from heldby.units import format_bytes


class Destination:
    """A file being written; a context manager that throws it away unless `commit` was called.

    Attributes:
        fd: open for reading and writing.
        path: its final name, None for memory.
    """

    def __init__(self, path: Path | None, *, force: bool = False) -> None:
        self.path = path
        self._force = force
        self._temporary: Path | None = None
        self.fd = self._open()

    def _open(self) -> int:
        if self.path is None:
            return os.memfd_create("heldby", os.MFD_CLOEXEC)
        if self.path.is_dir():
            raise UsageError(f"{self.path} is a directory", next_step="name a file")
        if self.path.exists() and not self.path.is_file():
            # Even with --force: it would take the place of a device.
            raise UsageError(f"{self.path} is no regular file", next_step="name a file")
        if self.path.exists() and not self._force:
            raise UsageError(f"{self.path} exists", next_step="choose another name, or --force to replace it")
        try:
            return os.open(self.path.absolute().parent, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError:
            return self._open_named()

    def _open_named(self) -> int:
        assert self.path is not None
        name = self.path.absolute().parent / f".{self.path.name}.{secrets.token_hex(4)}.partial"
        try:
            fd = os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise CaptureError(
                f"{self.path} cannot be written: {error.strerror}",
                next_step="choose a directory that exists and that you may write to",
            ) from error
        self._temporary = name
        return fd

    def __enter__(self) -> Destination:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.fd)
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)

    def require_space(self, needed: int) -> None:
        """Raise `NoSpace` when `needed` bytes certainly do not fit."""
        free = available_memory() if self.path is None else _free_disk(self.path.absolute().parent)
        if free is not None and needed > free:
            where = "memory" if self.path is None else str(self.path.absolute().parent)
            raise NoSpace(
                f"the capture needs about {format_bytes(needed)}, {where} has {format_bytes(free)}",
                next_step="name a file on a disk with room for it: heldby capture PID -o FILE",
            )

    def restart(self) -> None:
        """Empty the file."""
        os.ftruncate(self.fd, 0)

    def commit(self) -> None:
        """Give the whole file its name; it is on the disk before it is visible."""
        if self.path is None:
            return
        os.fsync(self.fd)
        try:
            self._name_file(self.path.absolute())
        except FileExistsError as error:
            raise UsageError(
                f"{self.path} came into being meanwhile", next_step="choose another name, or --force"
            ) from error
        _sync_directory(self.path.absolute().parent)

    def _name_file(self, path: Path) -> None:
        if not self._force:
            self._link(path)
            return
        name = path.parent / f".{path.name}.{secrets.token_hex(4)}.partial"
        self._link(name)
        try:
            name.replace(path)
        except OSError:
            name.unlink(missing_ok=True)
            raise

    def _link(self, path: Path) -> None:
        source = self._temporary or f"/proc/self/fd/{self.fd}"
        # Any src_dir_fd makes Python call linkat, the only call that follows the link in /proc.
        os.link(source, path, src_dir_fd=self.fd, follow_symlinks=True)


def _sync_directory(path: Path) -> None:
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _free_disk(directory: Path) -> int | None:
    try:
        return shutil.disk_usage(directory).free
    except OSError:
        return None
