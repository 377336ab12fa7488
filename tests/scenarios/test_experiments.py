"""Builds with GOEXPERIMENT: other maps, other ways of marking than the release has by itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

import heldby
from tests.support.build import SCENARIOS
from tests.support.places import places
from tests.support.process import running, wait_until_still
from tests.support.toolchains import toolchain

pytestmark = [pytest.mark.ptrace, pytest.mark.slow]

ENTRY = "main.Entry"
SESSION = "main.Session"
SWISS_MAPS = {
    ("main.tables[*]", ENTRY): 20_000,
    ("main.table[key]", "string"): 500,
    ("main.indirectKeys[key]", "main.WideKey"): 200,
    ("main.indirectElems[*]", "main.WideElem"): 200,
    ("main.cleared[*]", ENTRY): 50,
}
#: Scenario, experiment, and how many objects of a type stand at a path: the same as in a default build.
BUILDS = {
    "maps made of buckets": (
        *("maps", "noswissmap"),
        {
            ("main.tables[*]", ENTRY): 20_000,
            ("main.table[key]", "string"): 500,
            ("main.indirectKeys[key]", "main.WideKey"): 200,
            ("main.indirectElems[*]", "main.WideElem"): 200,
            ("main.cleared[*]", ENTRY): 50,
            # buckets and the record of overflows, beside a header of 56 bytes that counts clearings
            ("main.emptied", "map[string]*main.Entry"): 3,
        },
    ),
    "sync.Map made of two maps": (
        *("syncs", "nosynchashtriemap"),
        {("main.sessions[*]", SESSION): 1000, ("main.sessions[*]", "sync.entry"): 1000},
    ),
    "keys and elements of a group apart": ("maps", "mapsplitgroup", SWISS_MAPS),
    "marks of objects without Green Tea": ("maps", "nogreenteagc", SWISS_MAPS),
}
#: Which releases know which experiment.
CASES = [
    *((build, release) for build in list(BUILDS)[:2] for release in ("1.24.11", "1.25.5")),
    *((build, "1.27.3") for build in list(BUILDS)[2:]),
]


@pytest.mark.parametrize("flags", [(), ("-ldflags=-s -w",)], ids=["default", "stripped"])
@pytest.mark.parametrize(("build", "release"), CASES)
def test_experiment_is_told_by_the_types_not_by_the_release(
    build: str, release: str, flags: tuple[str, ...], tmp_path: Path
) -> None:
    name, experiment, expected = BUILDS[build]
    go = toolchain(release)
    program = tmp_path / name
    subprocess.run(
        [str(go.go), "build", *flags, "-o", str(program), "."],
        cwd=SCENARIOS / "programs" / name,
        env=go.environment() | {"GOEXPERIMENT": experiment},
        check=True,
    )
    with running(program) as process:
        wait_until_still(process.pid)
        heap = heldby.open(process.pid).heap
        said = process.ready

    assert said["go"].replace("-X:", " X:") == f"go{release} X:{experiment}"
    assert len(heap.objects) == said["memstats"]["HeapObjects"]
    assert np.flatnonzero(heap.objects.marked.astype(bool) != heap.live).size <= 2
    live = heap.objects.sizes()[heap.live].sum()
    assert heap.naming.types.typed_sizes(heap.objects.sizes())[heap.live].sum() > 0.999 * live
    if not flags:
        found: dict[tuple[str, str], int] = {}
        for place in places(heap):
            found[place.path, place.type] = found.get((place.path, place.type), 0) + place.objects
        assert {key: found.get(key) for key in expected} == expected
