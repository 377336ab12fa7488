"""Mutex, block and threadcreate profiles as text: a real program's, with the numbers that go tool pprof prints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from heldby.profiles.pprof_read import read_profile
from heldby.profiles.weights import weigh
from tests.profiles.conftest import fetch
from tests.support.build import build
from tests.support.pprof_tool import go_pprof, needs_go
from tests.support.process import running
from tests.support.toolchains import any_toolchain

PROGRAM = Path(__file__).parent / "programs" / "contention"
# Functions that are not inlined: of the others go tool pprof makes one with their caller, since it names
# addresses, while Go's comments name the calls.
NAMES = ("main.hold", "main.main.func1", "main.receive")


@pytest.fixture(scope="module", params=["1", "3"])
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the program and its profiles; the parameter says that one of so many mutex events is sampled."""
    folder = tmp_path_factory.mktemp("contention")
    binary = build(PROGRAM, any_toolchain())
    (folder / "program").symlink_to(binary)
    with running(binary, request.param) as process:
        url = f"http://127.0.0.1:{process.ready['port']}/debug/pprof"
        for name in ("mutex", "block", "threadcreate"):
            fetch(f"{url}/{name}?debug=1", folder / f"{name}.txt")
            fetch(f"{url}/{name}", folder / f"{name}.pb.gz")
        yield folder


def cumulated(path: Path, sample_type: str) -> tuple[dict[str, int], int]:
    profile = read_profile(path)
    index = profile.sample_index(sample_type)
    assert index is not None
    weights = weigh(profile, index)
    return {
        key[0]: cum for key, cum in zip(weights.keys, weights.cum.tolist(), strict=True) if key[0] in NAMES
    }, weights.total


def pprof_cumulated(folder: Path, name: str, sample_type: str) -> tuple[dict[str, int], int]:
    unit = "-unit=ns" if sample_type == "delay" else "-unit=count"
    printed = go_pprof(
        "-top",
        unit,
        "-nodefraction=0",
        f"-sample_index={sample_type}",
        str(folder / "program"),
        str(folder / name),
    ).splitlines()
    start = next(at for at, line in enumerate(printed) if line.split()[:2] == ["flat", "flat%"])
    total = int(printed[start - 1].split(" of ")[1].split()[0].removesuffix("ns"))
    rows = [line.split(None, 5) for line in printed[start + 1 :]]
    return {row[5]: int(row[3].removesuffix("ns")) for row in rows if row[5] in NAMES}, total


@needs_go
@pytest.mark.parametrize("sample_type", ["contentions", "delay"])
@pytest.mark.parametrize("name", ["mutex.txt", "block.txt"])
def test_a_text_says_what_go_tool_pprof_prints(program: Path, name: str, sample_type: str) -> None:
    """But for mutexes that are sampled: there pprof scales what the runtime has scaled, and the protobuf is right."""
    found, total = cumulated(program / name, sample_type)
    printed, printed_total = pprof_cumulated(program, name, sample_type)

    again = 3 if name == "mutex.txt" and "sampling period=3" in (program / name).read_text() else 1
    assert found
    assert {name: value * again for name, value in found.items()} == pytest.approx(printed, abs=3)
    assert total * again == pytest.approx(printed_total, abs=3)


@pytest.mark.parametrize("sample_type", ["contentions", "delay"])
@pytest.mark.parametrize("name", ["mutex", "block"])
def test_the_text_and_the_protobuf_say_the_same(program: Path, name: str, sample_type: str) -> None:
    text, _ = cumulated(program / f"{name}.txt", sample_type)
    protobuf, _ = cumulated(program / f"{name}.pb.gz", sample_type)

    assert text == pytest.approx(protobuf, abs=1)


def test_all_goroutines_but_the_first_waited_for_the_lock(program: Path) -> None:
    waited, _ = cumulated(program / "block.txt", "contentions")

    assert 30 < waited["main.hold"] <= 39  # a busy machine may start some late
    assert waited["main.receive"] == 1


def test_threads_are_counted(program: Path) -> None:
    text, protobuf = (read_profile(program / f"threadcreate.{kind}") for kind in ("txt", "pb.gz"))

    assert text.sample_types == protobuf.sample_types == (("threadcreate", "count"),)
    said = (program / "threadcreate.txt").read_text().partition("total ")[2].split()[0]
    assert weigh(text, 0).total == int(said) > 1
    # The runtime may start a thread between the two files.
    assert abs(weigh(protobuf, 0).total - int(said)) <= 2
