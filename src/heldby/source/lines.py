"""Lines of source files by the paths that a program recorded: where they were built, or in a folder given.

The paths come from the target, so only regular files that end in ``.go`` are read, and never much of them.
"""

from __future__ import annotations

import os
from collections import defaultdict
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Final

from heldby.errors import UsageError

LARGEST_FILE: Final = 8 << 20
MOST_FILES: Final = 100_000
_LONGEST_STATEMENT: Final = 200


class SourceLines:
    """Finds the text of a line.

    Args:
        folder: where the source lies now; None when it is only looked for where it was built.

    Raises:
        UsageError: there is no such folder.
    """

    def __init__(self, folder: Path | None = None) -> None:
        if folder is not None and not folder.is_dir():
            raise UsageError(f"there is no folder {folder}", next_step="check the path given with --src")
        self.folder = folder
        self._texts: dict[Path, tuple[str, ...]] = {}

    def line(self, file: str, number: int) -> str | None:
        """Return the line without white space around it; None where the file is not there or is ambiguous."""
        path = self.find(file)
        lines = self.lines_of(path) if path is not None else ()
        text = lines[number - 1].strip() if 0 < number <= len(lines) else ""
        return text[:_LONGEST_STATEMENT] or None

    def find(self, file: str) -> Path | None:
        """Return the file that was recorded as `file`: in the folder the one whose path ends most like it."""
        if not file.endswith(".go"):
            return None
        if self.folder is None:
            path = Path(file)
            return path if path.is_absolute() and path.is_file() else None
        wanted = PurePosixPath(file).parts
        ranked = sorted(
            ((_common_end(path.parts, wanted), path) for path in self._by_name[wanted[-1]]), reverse=True
        )
        if not ranked or (len(ranked) > 1 and ranked[0][0] == ranked[1][0]):
            return None
        return ranked[0][1]

    def files(self) -> list[Path]:
        """Return the Go files of the folder, tests left out; at most `MOST_FILES`."""
        return [
            path for paths in self._by_name.values() for path in paths if not path.name.endswith("_test.go")
        ]

    def lines_of(self, path: Path) -> tuple[str, ...]:
        """Return the lines of a file; none when it cannot be read or is too large."""
        if path not in self._texts:
            self._texts[path] = _read_lines(path)
        return self._texts[path]

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = defaultdict(list)
        count = 0
        for folder, folders, names in os.walk(self.folder or os.devnull):
            folders[:] = [name for name in folders if not name.startswith(".") and name != "testdata"]
            for name in names:
                if name.endswith(".go") and count < MOST_FILES:
                    found[name].append(Path(folder, name))
                    count += 1
        return found


def _common_end(path: tuple[str, ...], wanted: tuple[str, ...]) -> int:
    count = 0
    for mine, theirs in zip(reversed(path), reversed(wanted), strict=False):
        # A module's folder is recorded with its version: nats.go@v1.50.0.
        if mine != theirs.partition("@")[0] and mine != theirs:
            break
        count += 1
    return count


def _read_lines(path: Path) -> tuple[str, ...]:
    try:
        if not path.is_file() or path.stat().st_size > LARGEST_FILE:
            return ()
        return tuple(path.read_text("utf-8", "replace").splitlines())
    except OSError:
        return ()
