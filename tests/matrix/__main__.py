"""``python -m tests.matrix``: measure the cells, two at a time, and write the page."""

from __future__ import annotations

import argparse
import itertools
import math
import os
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from pathlib import Path

from tests.matrix.cell import Cell, measure_release
from tests.matrix.goals import misses
from tests.matrix.table import page
from tests.support.build import REPOSITORY, Mode
from tests.support.toolchains import RELEASES


def main() -> int:
    """Run what the command line asks for; 1 when a cell misses a goal without a known reason."""
    options = _options()
    releases = [release for release in RELEASES if _chosen(release, options.release)]
    modes = [mode for mode in Mode if not options.build or mode.name.lower() in options.build]
    if not releases or not modes:
        print("no such release or build", file=sys.stderr)
        return 2
    started = time.monotonic()
    wanted = [(release, mode) for release in releases for mode in modes]
    cells = list(_measured(wanted, options.jobs, started + options.within))
    # What a loaded machine does to a program (too slow to be ready) is not done twice; a wrong reader is.
    missed = [(cell.release, Mode[cell.mode]) for cell in cells if any(misses(cell))]
    if missed:
        print(f"once more: {len(missed)} cells", file=sys.stderr)
        again = {(cell.release, cell.mode): cell for cell in _measured(missed, 1, math.inf)}
        cells = [again.get((cell.release, cell.mode), cell) for cell in cells]
    order = {mode.name: place for place, mode in enumerate(Mode)}
    cells.sort(key=lambda cell: (-int(cell.release.split(".")[1]), order[cell.mode]))
    options.output.write_text(
        page(cells, f"{platform.machine()} with {os.cpu_count()} cores, Linux {platform.release()}")
    )
    failed = sum(any(misses(cell)) for cell in cells)
    print(f"{len(cells)} of {len(wanted)} cells in {time.monotonic() - started:.0f} s: {options.output}")
    print(f"{len(cells) - failed} passed, {failed} failed")
    return 1 if failed else 0


def _measured(wanted: Sequence[tuple[str, Mode]], jobs: int, deadline: float) -> Iterator[Cell]:
    """Yield cells as they are done; those that the time does not suffice for are not begun."""
    waiting = iter(wanted)
    with ProcessPoolExecutor(jobs) as pool:
        # One release after another: its toolchain's build cache and pages are warm for all its builds.
        running = {pool.submit(measure_release, *cell) for cell in itertools.islice(waiting, jobs)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for cell in (future.result() for future in done):
                missed = list(misses(cell))
                about = f"go{cell.release} {cell.mode.lower()}"
                print(f"{'MISSED' if missed else 'ok':6} {about}", *missed, sep="  ", flush=True)
                yield cell
            if time.monotonic() < deadline:
                running |= {
                    pool.submit(measure_release, *cell) for cell in itertools.islice(waiting, len(done))
                }


def _chosen(release: str, wanted: list[str]) -> bool:
    return not wanted or any(release == one or release.startswith(one + ".") for one in wanted)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    parser.add_argument("--release", action="append", default=[], help="1.26, say; all if not given")
    parser.add_argument("--build", action="append", default=[], help="stripped, say; all if not given")
    parser.add_argument("--jobs", type=int, default=2, help="cells at a time")
    parser.add_argument("--within", type=float, default=math.inf, help="seconds; no cell is begun later")
    parser.add_argument("-o", "--output", type=Path, default=REPOSITORY / "docs" / "matrix.md")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
