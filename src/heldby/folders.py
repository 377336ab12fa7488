"""Writing a folder of files so that it is whole or not there."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_ABANDONED_AFTER_S: Final = 3_600


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Give a new folder (mode 0700) that takes the place of `folder`, with all that was in it, if the block ends well.

    What processes left that were killed in such a block is removed after an hour.

    Raises:
        OSError: the folder beside it cannot be made, or the renaming fails.
    """
    _remove_abandoned(folder)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield temporary
        _take_place(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _take_place(temporary: Path, folder: Path) -> None:
    """Rename `temporary` to `folder`; what was there goes first, since a folder replaces only an empty one."""
    for _ in range(3):
        with suppress(FileNotFoundError):
            old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
            try:
                folder.rename(old / "old")
            finally:
                shutil.rmtree(old, ignore_errors=True)
        try:
            temporary.rename(folder)
        except OSError as error:
            if error.errno not in (17, 39):  # EEXIST, ENOTEMPTY: another process was faster
                raise
        else:
            return


def _remove_abandoned(folder: Path) -> None:
    for left in folder.parent.glob(f".{folder.name}.*"):
        with suppress(OSError):
            facts = left.lstat()
            if facts.st_uid == os.geteuid() and time.time() - facts.st_mtime > _ABANDONED_AFTER_S:
                shutil.rmtree(left, ignore_errors=True)
