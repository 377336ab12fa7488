"""Compiling the kernels that a wheel brings along: ``python -m heldby.shipping [FOLDER]``.

Those of ``kernel_signatures.json``, for the least CPU that `heldby.jit.shipped` names, on all cores: half a minute of
CPU. What is there already is left alone, and what no source of ours asks for any more is removed.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from heldby.jit import shipped
from heldby.jit.kernel_files import place_of, read_kernel, write_kernel
from heldby.warming import collect_rarely, kernel_of, listed_kernels


def ship(folder: Path) -> tuple[int, int]:
    """Compile what `folder` lacks, and return how many kernels that was, and of how many.

    Raises:
        OSError: the folder cannot be written to.
    """
    level = shipped.level()
    if level is None:
        return 0, 0
    # Read by Numba when it is imported, in the processes that compile.
    os.environ |= {"NUMBA_CPU_NAME": level.name, "NUMBA_CPU_FEATURES": ""}
    home = folder / shipped.folder_name()
    home.mkdir(parents=True, exist_ok=True)
    kernels = listed_kernels()
    places = {home / _place(entry): entry for entry in kernels}
    missing = [(path, entry) for path, entry in places.items() if read_kernel(path) is None]
    if missing:
        for path, _ in missing:
            path.parent.mkdir(exist_ok=True)
        try:
            workers = min(len(os.sched_getaffinity(0)), len(missing))
            pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), collect_rarely)
        except (ImportError, OSError):  # a container without /dev/shm has no semaphores
            for path, entry in missing:
                _compile(path, entry)
        else:
            with pool:
                for _ in pool.map(_compile, *zip(*missing, strict=True)):
                    pass
    _remove_others(folder, {path.parent for path in places} | {home})
    return len(missing), len(places)


def _place(entry: dict[str, Any]) -> Path:
    kernel, kinds = kernel_of(entry)
    return place_of(Path(kernel.function.__code__.co_filename), kernel.function.__name__, kinds)


def _compile(path: Path, entry: dict[str, Any]) -> None:
    from heldby.jit.compiling import compiled

    kernel, kinds = kernel_of(entry)
    write_kernel(path, compiled(kernel.function, kinds))


def _remove_others(folder: Path, wanted: set[Path]) -> None:
    """Remove what an older source left."""
    for home in folder.iterdir():
        for path in (home, *(home.iterdir() if home in wanted else ())):
            if path not in wanted:
                shutil.rmtree(path)


def main() -> None:
    """Ship into the folder that is named, or into this package."""
    started = time.perf_counter()
    made, wanted = ship(Path(sys.argv[1]) if sys.argv[1:] else shipped.FOLDER)
    if made:
        print(f"compiled {made} of {wanted} kernels in {time.perf_counter() - started:.0f} s")  # noqa: T201


if __name__ == "__main__":
    main()
