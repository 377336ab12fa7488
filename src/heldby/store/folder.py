"""Where analyses are kept: beside the capture, or in the user's cache where that folder is not ours to write to.

A kept analysis is a folder of its own, mode 0700, with files of mode 0600. It is written under a temporary name and
renamed, so it is whole or not there. Only what this user wrote is read: kernels index with its numbers.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from heldby.digests import hex_digest
from heldby.folders import replacing_folder
from heldby.heap.heap import Heap
from heldby.progress import Progress
from heldby.store.contents import DOCUMENTS, TABLES, Kept, facts_of, file_of, results_of, sizes_of
from heldby.store.documents import write_document
from heldby.store.tables import write_table

FORMAT: Final = 4
MANIFEST: Final = "manifest.json"
_TOUCHED_EVERY_S: Final = 86_400
_UNUSED_AFTER_S: Final = 30 * 86_400


def places(capture: Path) -> Iterator[Path]:
    """Yield the folders in which the analysis of `capture` may be kept, the best first."""
    yield capture.with_name(capture.name + ".heldby")
    base = user_folder()
    if base is not None:
        named = hex_digest(os.fsencode(capture.resolve()), 32)
        yield base / named


def user_folder() -> Path | None:
    """Return the folder in the user's cache for analyses of captures in folders that are not the user's."""
    value = os.environ.get("XDG_CACHE_HOME", "")
    home = os.environ.get("HOME", "")
    if Path(value).is_absolute():
        return Path(value, "heldby", "analyses")
    return Path(home, ".cache", "heldby", "analyses") if Path(home).is_absolute() else None


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Return what `folder` says of itself; None where nothing of this user's is.

    Raises:
        ValueError, TypeError, OSError: there is something, but it cannot be read.
    """
    try:
        facts = folder.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_mode & stat.S_IWOTH:
        return None
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    except FileNotFoundError:
        return None
    if not isinstance(manifest, dict):
        raise TypeError("its manifest is no object")
    with suppress(OSError):
        if time.time() - (folder / MANIFEST).stat().st_mtime > _TOUCHED_EVERY_S:
            os.utime(folder / MANIFEST)
    return manifest


def check_files(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Raise unless each file of `folder` is there, with as many bytes as its manifest says.

    Raises:
        ValueError, OSError: one is not. KeyError, TypeError: the manifest does not say.
    """
    files = [(file_of(name), manifest["tables"][name]) for name in TABLES]
    files += [(f"{name}.json", manifest["documents"][name]) for name in DOCUMENTS]
    for file, said in files:
        found = (folder / file).stat().st_size
        if found != said["bytes"]:
            raise ValueError(f"{file} has {found:,} bytes, not {said['bytes']:,}")


def write_analysis(folder: Path, heap: Heap, key: Mapping[str, Any], progress: Progress) -> None:
    """Write the analysis of `heap` to `folder`, in place of an older one. See docs/benchmarks.md for its size.

    Raises:
        OSError: it cannot be written there.
    """
    if folder.exists() and not (folder / MANIFEST).exists():
        raise FileExistsError(17, "it exists and is no analysis", str(folder))
    with replacing_folder(folder) as temporary:
        _write_files(temporary, heap, key, progress)


def make_user_folder() -> None:
    """Make the folder in the user's cache, and remove what nobody opened for 30 days. Raises OSError."""
    base = user_folder()
    if base is None:
        return
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in base.iterdir():
        with suppress(OSError):
            if time.time() - (folder / MANIFEST).stat().st_mtime > _UNUSED_AFTER_S:
                shutil.rmtree(folder, ignore_errors=True)


def _write_files(folder: Path, heap: Heap, key: Mapping[str, Any], progress: Progress) -> None:
    results_of(heap)
    manifest: dict[str, Any] = {**key, "tables": {}, "documents": {}}
    with progress.phase("keeping the analysis"):
        for name, columns in TABLES.items():
            made = {column.name: partial(_made, column, heap) for column in columns}
            mapped = [column.name for column in columns if column.mapped]
            manifest["tables"][name] = write_table(folder / file_of(name), made, mapped)
        for name, document in DOCUMENTS.items():
            manifest["documents"][name] = write_document(folder / f"{name}.json", document(heap))
        manifest["sizes"], manifest["facts"] = sizes_of(heap), facts_of(heap)
        write_document(folder / MANIFEST, manifest)


def _made(column: Kept, heap: Heap) -> NDArray[Any]:
    return column.of(heap).astype(column.dtype, copy=False)
