"""stdout and stderr as every command may take them for granted: there, and whole or an error."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

from heldby.errors import OutputError


class ClosedOutput(io.TextIOBase):
    """Stands for stdout where the shell closed it (``>&-``): the first text that is written is an error."""

    encoding = "utf-8"

    def writable(self) -> bool:
        """Return True; `write` says more than a caller would who finds that it cannot write."""
        return True

    def write(self, text: str) -> int:
        """Raise `OutputError`."""
        if text:
            raise closed_error()
        return 0


def closed_error() -> OutputError:
    """Return the error for an answer that has nowhere to go."""
    return OutputError(
        "the answer cannot be written: stdout is closed",
        next_step="name a file with -o FILE, or do not close it",
    )


def prepare_streams() -> None:
    """Put something in the place of streams that the shell closed, which Python calls None, or that lose texts.

    With PYTHONUNBUFFERED, as in Docker's images of Python, stdout writes to a raw file: what a pipe did not take
    before its reader left is dropped there without an error, and the exit code would be 0.
    """
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 (lives as long as the process)
    if sys.stdout is None:
        sys.stdout = ClosedOutput()
    elif isinstance(getattr(sys.stdout, "buffer", None), io.RawIOBase):
        sys.stdout = open(  # noqa: SIM115 (a descriptor, which stays open)
            sys.stdout.fileno(),
            "w",
            encoding=sys.stdout.encoding,
            errors=sys.stdout.errors,
            closefd=False,
        )
