"""Processes with several Go modules: a plugin in a Go program, and a library in Go in a C program."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import heldby
from heldby.analysis.answering import answer_of
from heldby.analysis.exports.mapped_code import mapped_code
from heldby.capture import capture_process
from heldby.heap import Heap
from tests.support.places import places, types_of
from tests.support.process import running, wait_until_still
from tests.support.toolchains import any_toolchain

pytestmark = [
    pytest.mark.ptrace,
    pytest.mark.skipif(shutil.which("gcc") is None, reason="plugins and c-shared libraries need gcc"),
]

PROGRAMS = Path(__file__).parent / "programs" / "modules"


GO = any_toolchain()  # the release is not the matter here


def go_build(output: Path, package: str, *flags: str) -> Path:
    command = [str(GO.go), "build", *flags, "-o", str(output), f"./{package}"]
    environment = GO.environment() | {"CGO_ENABLED": "1"}
    subprocess.run(command, cwd=PROGRAMS, env=environment, check=True, capture_output=True)
    return output


def read(program: Path, library: Path, capture: Path) -> tuple[Heap, int]:
    """Return the heap of the running program, read from a file, and how many objects it counts itself."""
    with running(program, [str(library)]) as process:
        wait_until_still(process.pid)
        capture_process(process.pid, capture)
        objects = process.ready["memstats"]["HeapObjects"]
    library.rename(library.with_suffix(".gone"))  # the capture has what it needs
    return heldby.open(capture).heap, objects


def retained_by_root(heap: Heap) -> Counter[str]:
    found: Counter[str] = Counter()
    for place in places(heap):
        found[place.root] += place.objects
    return found


@pytest.fixture(scope="module", params=["named", "stripped"])
def plugged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Heap:
    folder = tmp_path_factory.mktemp("plugin")
    flags = ["-ldflags=-s -w"] if request.param == "stripped" else []
    part = go_build(folder / "part.so", "part", "-buildmode=plugin", *flags)
    host = go_build(folder / "host", "host", *flags)
    heap, objects = read(host, part, folder / "capture")
    # What Go's fmt and os take for the ready line is counted after MemStats were read.
    assert objects <= heap.object_count <= objects + 40
    return heap


def test_the_types_of_a_plugin_are_counted_with_the_program_s(plugged: Heap) -> None:
    types = types_of(plugged)

    assert len(plugged.process.runtime.modules) == 2
    assert types["main.Piece"] == 1001  # 1,000 in the map, one that a goroutine holds
    assert types["main.Own"] == 500


def test_variables_of_a_plugin_hold_by_name(plugged: Heap) -> None:
    retained = retained_by_root(plugged)

    if plugged.process.executable.is_stripped:
        names = [name for name, count in retained.items() if count >= 3000]
        assert [name.startswith("module1.") for name in names] == [True]
    else:
        # 1,000 pieces with a string header and a text each, and a key for each entry; the rest is the map's.
        assert 4000 <= retained["modules/part.kept"] <= 4100
        assert retained["main.owned"] == 501


def test_the_code_of_a_plugin_is_listed_with_its_build_id(plugged: Heap) -> None:
    listed = {Path(code.file).name: code.build_id for code in mapped_code(plugged.process)}

    program, plugin = (each.executable.gnu_build_id for each in plugged.process.programs)
    assert program != plugin
    assert (listed["host"], listed["part.so"]) == (program, plugin)
    assert len(listed["libc.so.6"]) == 40


def test_what_is_reachable_through_a_plugin_is_what_the_collector_marked(plugged: Heap) -> None:
    marked = plugged.objects.marked.astype(np.bool_)

    assert int((marked & ~plugged.live).sum()) <= 2  # two of the runtime's own records at most


def test_a_library_in_go_is_read_in_a_program_in_c(tmp_path: Path) -> None:
    library = go_build(tmp_path / "libshared.so", "shared", "-buildmode=c-shared")
    embedder = tmp_path / "embedder"
    source = PROGRAMS / "embedder" / "embedder.c"
    subprocess.run(["gcc", "-o", embedder, source, "-ldl"], check=True)

    heap, objects = read(embedder, library, tmp_path / "capture")
    answer = answer_of(heap)

    assert objects <= heap.object_count <= objects + 40
    assert types_of(heap)["main.Item"] == 2000
    assert answer.holders[0].path == "main.items"
    assert answer.holders[0].retained_objects >= 2000
    assert answer.process.name == "embedder"
