"""Exported profiles: the heap profile is the process's own, the joined one has sites below and holders above."""

from __future__ import annotations

import functools
import gzip
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import heldby
from heldby.analysis.exports.exporting import heap_profile_of, holder_profile_of, joined_profile_of
from heldby.errors import MissingData
from heldby.heap.heap import Heap
from heldby.profiles.pprof_read import parse_profile
from heldby.profiles.profile import Profile
from heldby.profiles.schema import profile_class
from tests.support.allocations import CELLS, sites_heap, sites_program
from tests.support.build import Mode, scenario_program
from tests.support.pprof_tool import go_pprof, needs_go, pprof_pages
from tests.support.process import running, wait_until_still
from tests.support.toolchains import Toolchain

pytestmark = pytest.mark.ptrace
needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="programs with C need gcc")


EXPORTS = {"holders": holder_profile_of, "heap": heap_profile_of, "joined": joined_profile_of}


@functools.cache
def served(go: Toolchain, rate: int, mode: Mode, folder: Path) -> tuple[Heap, bytes]:
    """Return the heap of a quiet process, and the heap profile that it wrote itself right afterwards."""
    path = folder / f"{go.version}-{rate}-{mode.name}.pb.gz"
    with running(sites_program(go, mode), [str(rate)]) as program:
        wait_until_still(program.pid)
        heap = heldby.open(program.pid).heap
        program.send(f"heap {path}")
        program.line()
        return heap, path.read_bytes()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served")


def whole(profile: Profile) -> list[tuple[object, ...]]:
    """Return all that is said of every sample that is not all zeros, in order."""
    return [
        (sample.values, tuple(sample.labels.items()), sample.stack)
        for sample in profile.samples
        if any(sample.values)
    ]


@pytest.mark.parametrize(
    ("rate", "mode"),
    [
        (1, Mode.STRIPPED),
        (8192, Mode.DEFAULT),
        (8192, Mode.POSITION_INDEPENDENT),
        (512 << 10, Mode.STRIPPED),
    ],
)
def test_heap_profile_is_that_of_the_process_sample_by_sample(
    go: Toolchain, rate: int, mode: Mode, folder: Path
) -> None:
    heap, theirs = served(go, rate, mode, folder)
    own, its = parse_profile(heap_profile_of(heap)), parse_profile(theirs)

    assert len(whole(own)) >= 5
    assert whole(own) == whole(its)
    assert own.sample_types == its.sample_types
    assert own.default_sample_type == its.default_sample_type
    assert own.period_type == its.period_type
    # Writing the profile allocates, so theirs has more stacks that have nothing to show yet; never fewer.
    empty = Counter(sample.stack for sample in its.samples if not any(sample.values))
    assert Counter(sample.stack for sample in own.samples if not any(sample.values)) <= empty


def test_locations_have_the_addresses_mapping_and_lines_of_the_process(go: Toolchain, folder: Path) -> None:
    heap, theirs = served(go, 8192, Mode.POSITION_INDEPENDENT, folder)

    def places(data: bytes) -> dict[int, tuple[object, ...]]:
        message = profile_class().FromString(gzip.decompress(data))
        text = message.string_table
        functions = {
            item.id: (text[item.name], text[item.system_name], text[item.filename], item.start_line)
            for item in message.function
        }
        mappings = {
            item.id: (
                *(item.memory_start, item.memory_limit, item.file_offset, text[item.filename]),
                *(text[item.build_id], item.has_functions),
            )
            for item in message.mapping
        }
        return {
            item.address: (
                mappings[item.mapping_id],
                [(functions[line.function_id], line.line) for line in item.line],
            )
            for item in message.location
        }

    own, its = places(heap_profile_of(heap)), places(theirs)

    assert len(own) >= 10
    assert {address: its[address] for address in own} == own


Mapped = tuple[int, int, int, str, str, bool]


def mappings(data: bytes) -> list[Mapped]:
    message = profile_class().FromString(gzip.decompress(data))
    text = message.string_table
    assert [item.id for item in message.mapping] == list(range(1, len(message.mapping) + 1))
    return [
        (
            *(item.memory_start, item.memory_limit, item.file_offset, text[item.filename]),
            *(text[item.build_id], item.has_functions),
        )
        for item in message.mapping
    ]


@pytest.mark.parametrize("mode", [Mode.DEFAULT, Mode.POSITION_INDEPENDENT])
def test_all_mappings_are_those_of_the_process(go: Toolchain, folder: Path, mode: Mode) -> None:
    heap, theirs = served(go, 8192, mode, folder)

    assert mappings(heap_profile_of(heap)) == mappings(theirs)
    assert {file for *_, file, _, _ in mappings(theirs)} >= {"[vdso]"}


@needs_gcc
@pytest.mark.parametrize("mode", [pytest.param(Mode.CGO, marks=pytest.mark.slow), Mode.CGO_STRIPPED_PIE])
def test_c_libraries_are_listed_with_their_build_ids(go: Toolchain, folder: Path, mode: Mode) -> None:
    heap, theirs = served(go, 8192, mode, folder)

    own = mappings(heap_profile_of(heap))
    assert own == mappings(theirs)
    libraries = {Path(file).name: build_id for *_, file, build_id, _ in own if "/" in file}
    assert len(libraries["libc.so.6"]) == 40


@needs_go
def test_go_tool_pprof_sees_no_difference(go: Toolchain, folder: Path, tmp_path: Path) -> None:
    heap, theirs = served(go, 8192, Mode.DEFAULT, folder)
    (tmp_path / "own").write_bytes(heap_profile_of(heap))
    (tmp_path / "its").write_bytes(theirs)

    difference = go_pprof("-top", f"-diff_base={tmp_path / 'its'}", str(tmp_path / "own"))

    assert "Showing nodes accounting for 0, 0% of" in difference
    for kind in ("alloc_objects", "inuse_space"):
        own, its = (
            go_pprof("-top", "-lines", "-unit=B", f"-sample_index={kind}", str(tmp_path / name)).splitlines()[
                5:
            ]
            for name in ("own", "its")
        )
        assert any("main.newInlined" in line and "main.go" in line for line in own)
        assert own == its


@needs_go
def test_go_tool_pprof_opens_the_joined_profile(go: Toolchain, tmp_path: Path) -> None:
    path = tmp_path / "joined.pb.gz"
    path.write_bytes(joined_profile_of(sites_heap(go, 1)))

    top = go_pprof("-top", "-unit=B", "-focus=newSmall", str(path))
    traces = go_pprof("-traces", str(path))

    rows = {words[5]: words[0] for line in top.splitlines() if len(words := line.split()) == 6}
    assert rows["main.left.Small[*][*]"] == "4194304B"
    assert rows["main.right.Small[*][*]"] == "8388608B"
    assert "main.left.Small[*][*]\n             main.left.Small[*]" in traces


@needs_go
def test_the_pages_of_go_tool_pprof_show_site_and_holder(go: Toolchain, tmp_path: Path) -> None:
    heap, pages = sites_heap(go, 1), {}
    for name, export in EXPORTS.items():
        (tmp_path / name).write_bytes(export(heap))
        (pages[name],) = pprof_pages(tmp_path / name, "flamegraph")

    assert "main.newInlined" in pages["joined"]
    assert "main.right.Middle[*]" in pages["joined"]
    assert "main.newInlined" in pages["heap"]
    assert "main.right.Middle[*]" in pages["holders"]


@needs_go
@pytest.mark.parametrize("name", EXPORTS)
def test_go_tool_pprof_prints_the_traces_and_labels_of_every_export(
    go: Toolchain, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(EXPORTS[name](sites_heap(go, 1)))

    assert "Showing nodes accounting for" in go_pprof("-top", str(tmp_path / name))
    assert go_pprof("-traces", str(tmp_path / name)).count("-----------+--") > 3
    labels = go_pprof("-tags", str(tmp_path / name))
    wanted = {"heap": ["bytes"], "holders": ["type", "root_kind"], "joined": ["type", "root_kind"]}[name]
    assert all(f" {label}: Total" in labels for label in wanted), labels


def test_joined_profile_has_holders_on_top_of_sites(go: Toolchain) -> None:
    profile = parse_profile(joined_profile_of(sites_heap(go, 1)))
    index = {name: at for at, (name, _) in enumerate(profile.sample_types)}

    cells: Counter[tuple[str, str | None]] = Counter()
    for sample in profile.samples:
        names = [frame.name for frame in sample.stack]
        site = next((name for name in names if name.startswith("main.new")), None)
        if site is None:
            continue
        above = names[: names.index(site)]
        root = ".".join(above[0].split(".")[:2]) if above != ["(garbage)"] else None
        cells[site, root] += sample.values[index["inuse_space" if root else "garbage_space"]]
        assert names[-1] == "runtime.main"
    assert cells == CELLS


def test_joined_profile_labels_type_and_root(go: Toolchain) -> None:
    profile = parse_profile(joined_profile_of(sites_heap(go, 1)))
    labels = {
        sample.stack[0].name: sample.labels
        for sample in profile.samples
        if sample.stack[0].name in ("main.right.Large[*][*]", "(garbage)")
    }

    assert labels["main.right.Large[*][*]"] == {"type": "[]uint8", "root_kind": "global"}
    assert labels["(garbage)"] == {"root_kind": "garbage"}


def test_holders_of_goroutines_are_labelled_with_their_function(go: Toolchain) -> None:
    with running(scenario_program("goroutines", go)) as program:
        wait_until_still(program.pid)
        profile = parse_profile(holder_profile_of(heldby.open(program.pid).heap))

    kinds = {(sample.labels.get("root_kind"), "goroutine" in sample.labels) for sample in profile.samples}
    assert ("goroutine", True) in kinds
    assert ("goroutine", False) not in kinds
    assert ("global", True) not in kinds


@pytest.mark.parametrize("export", [heap_profile_of, joined_profile_of])
def test_process_without_memory_profile_is_told_how_to_have_one(
    go: Toolchain, export: Callable[[Heap], bytes]
) -> None:
    with pytest.raises(MissingData, match="no memory profile") as caught:
        export(sites_heap(go, 0))
    assert "MemProfileRate is 0" in str(caught.value.cause)
