"""Damaged and hostile captures: an answer or an error of ours; no crash, no hang, no endless memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from heldby.golang.types.types import TypeTable
from heldby.memory.core_file import open_core
from tests.support.build import Mode, scenario_program
from tests.support.damage import Capture, Outcome, watch
from tests.support.process import running
from tests.support.toolchains import any_toolchain

pytestmark = pytest.mark.ptrace
PROGRAMS = ("maps", "specials", "channels", "goroutines", "interfaces", "closures", "timers", "handles")


@pytest.fixture(scope="session")
def captured(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Mode], Path]:
    """Capture a scenario program, once."""
    folder = tmp_path_factory.mktemp("captures")

    def capture(name: str, mode: Mode) -> Path:
        path = folder / f"{name}-{mode.name.lower()}"
        if not path.exists():
            with running(scenario_program(name, any_toolchain(), mode)) as program:
                command = [
                    sys.executable,
                    "-m",
                    "heldby.cli.main",
                    "capture",
                    str(program.pid),
                    "-o",
                    str(path),
                ]
                subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        return path

    return capture


def told(outcomes: list[Outcome]) -> str:
    return "\n".join(f"{one.name} {one.steps}: {one.result}" for one in outcomes if one.bad)


def attempt(
    capture: Path, journal: Path, first: int, count: int, checked: Path | None = None
) -> list[Outcome]:
    """Try `count` damages; after a crash or a hang go on with the next."""
    outcomes: list[Outcome] = []
    while len(outcomes) < count:
        journal.unlink(missing_ok=True)
        start = first + len(outcomes)
        arguments = [str(capture), str(start), str(count - len(outcomes)), str(journal)]
        outcomes += watch(journal, arguments, checked=checked)
        if outcomes[-1].name == -1:
            break
    return outcomes


@pytest.mark.parametrize("name", ["specials", "channels"])
def test_damaged_captures_give_an_answer_or_an_error(
    name: str, captured: Callable[[str, Mode], Path], tmp_path: Path
) -> None:
    outcomes = attempt(captured(name, Mode.STRIPPED), tmp_path / "journal", 0, 8)

    assert told(outcomes) == ""
    assert len(outcomes) == 8
    assert {"answer"} < {one.result for one in outcomes}


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("mode", [Mode.DEFAULT, Mode.STRIPPED])
@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("checked", [False, True], ids=["as-is", "bounds-checked"])
def test_hundreds_of_damaged_captures_give_an_answer_or_an_error(
    name: str,
    mode: Mode,
    checked: bool,
    captured: Callable[[str, Mode], Path],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.getbasetemp() / "checked" if checked else None

    outcomes = attempt(captured(name, mode), tmp_path / "journal", 10_000, 400, folder)

    assert told(outcomes) == ""
    assert len(outcomes) == 400


Edit = Callable[[Capture, NDArray[np.uint8]], None]


def lost_span_list(capture: Capture, data: NDArray[np.uint8]) -> None:
    runtime = capture.heap.process.runtime
    at = runtime.mheap + runtime.layout.offset("runtime.mheap", "allspans")
    capture.write(data, at, runtime.image.u64(at) + 2)


def endless_span_list(capture: Capture, data: NDArray[np.uint8]) -> None:
    runtime = capture.heap.process.runtime
    at = runtime.mheap + runtime.layout.offset("runtime.mheap", "allspans")
    capture.write(data, at + 8, 1 << 29)


def span_of_terabytes(capture: Capture, data: NDArray[np.uint8]) -> None:
    """Let the last large span reach to the end of all addresses, consistent with the runtime's page count."""
    runtime, spans = capture.heap.process.runtime, capture.heap.objects.spans
    layout, image = runtime.layout, runtime.image
    at = runtime.mheap + layout.offset("runtime.mheap", "allspans")
    last = int(spans.base[-1])
    for mspan in image.words(image.u64(at), image.u64(at + 8)).tolist():
        if image.u64(mspan + layout.offset("runtime.mspan", "startAddr")) == last:
            break
    for name, value in (("npages", 1 << 32), ("elemsize", 1 << 45), ("limit", last + (1 << 45))):
        capture.write(data, mspan + layout.offset("runtime.mspan", name), value)
    word = mspan + layout.offset("runtime.mspan", "spanclass") & ~7
    shift = 8 * (mspan + layout.offset("runtime.mspan", "spanclass") & 7)
    capture.write(data, word, image.u64(word) & ~(255 << shift) | 1 << shift)
    nelems = mspan + layout.offset("runtime.mspan", "nelems")
    shift = 8 * (nelems & 7)
    capture.write(data, nelems & ~7, image.u64(nelems & ~7) & ~(0xFFFF << shift) | 1 << shift)
    pages = runtime.mheap + layout.offset("runtime.mheap", "pagesInUse")
    capture.write(data, pages, int(spans.pages[:-1].sum()) + (1 << 32))


def endless_function_table(capture: Capture, data: NDArray[np.uint8]) -> None:
    runtime = capture.heap.process.runtime
    at = runtime.modules[0].addr + runtime.layout.offset("runtime.moduledata", "pclntable")
    capture.write(data, at + 8, 0xFFFFFFFFFFFFFFD3)


def endless_code(capture: Capture, data: NDArray[np.uint8]) -> None:
    runtime = capture.heap.process.runtime
    at = runtime.modules[0].addr + runtime.layout.offset("runtime.moduledata", "etext")
    capture.write(data, at, 1 << 62)


def endless_variables(capture: Capture, data: NDArray[np.uint8]) -> None:
    runtime = capture.heap.process.runtime
    at = runtime.modules[0].addr + runtime.layout.offset("runtime.moduledata", "end")
    capture.write(data, at, 0xFFFFFFFE)


def endless_types(capture: Capture, data: NDArray[np.uint8]) -> None:
    for addr in TypeTable.read(capture.heap.process.runtime).descriptor_addrs.tolist():
        capture.write(data, addr, 0x4040404040404040)


def specials_in_a_circle(capture: Capture, data: NDArray[np.uint8]) -> None:
    first, runtime = int(capture.heap.specials.addr[0]), capture.heap.process.runtime
    capture.write(data, first + runtime.layout.offset("runtime.special", "next"), first)


def stacks_that_end_nowhere(capture: Capture, data: NDArray[np.uint8]) -> None:
    for at in capture.words["stacks"].tolist():
        data[at : at + 8] = 255


def lengths_without_end(capture: Capture, data: NDArray[np.uint8]) -> None:
    """Make every small number in the heap a huge one: lengths, capacities, directories, counts."""
    for name, places in capture.words.items():
        if name.startswith("objects"):
            for at in places.tolist():
                if 0 < int.from_bytes(data[at : at + 8].tobytes(), "little") < 1 << 20:
                    data[at : at + 8] = np.frombuffer((1 << 62).to_bytes(8, "little"), np.uint8)


def no_code_in_the_program(capture: Capture, data: NDArray[np.uint8]) -> None:
    """Make the program's segments that may be executed ones of a kind that nobody loads."""
    count = int(data[capture.program + 56 : capture.program + 58].view(np.uint16)[0])
    for at in range(capture.program + 64, capture.program + 64 + 56 * count, 56):
        kind, flags = data[at : at + 8].view(np.uint32).tolist()
        if kind == 1 and flags & 1:
            data[at] = 0x70


CASES: dict[str, tuple[Edit, set[str]]] = {
    "the span list is not where it was": (lost_span_list, {"CheckFailed"}),
    "the span list has half a billion entries": (endless_span_list, {"CheckFailed"}),
    "a span has 32 TiB": (span_of_terabytes, {"LimitExceeded"}),
    "the function table has 2**64 bytes": (endless_function_table, {"NotCaptured", "answer"}),
    "the code has 4 EiB": (endless_code, {"answer", "CheckFailed", "NotGoProcess"}),
    "the variables have 4 GiB": (endless_variables, {"answer", "CheckFailed", "NotCaptured"}),
    "all types have 4 EiB": (endless_types, {"answer", "CheckFailed"}),
    "specials go in a circle": (specials_in_a_circle, {"answer"}),
    "stacks are full of ones": (stacks_that_end_nowhere, {"answer"}),
    "the program has no code": (no_code_in_the_program, {"WrongExecutable"}),
    "all lengths are huge": (lengths_without_end, {"answer"}),
}


@pytest.fixture(scope="module")
def named(
    captured: Callable[[str, Mode], Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Outcome]:
    """What came of each named damage, tried in one process for all."""
    folder = tmp_path_factory.mktemp("named")
    capture = Capture(np.fromfile(captured("specials", Mode.STRIPPED), np.uint8))
    paths = {name: folder / f"{index}.core" for index, name in enumerate(CASES)}
    for name, path in paths.items():
        data = capture.data.copy()
        CASES[name][0](capture, data)
        assert (data != capture.data).any()
        data.tofile(path)
    outcomes: dict[str, Outcome] = {}
    while len(outcomes) < len(CASES):
        journal = folder / f"journal{len(outcomes)}"
        rest = [str(path) for path in paths.values()][len(outcomes) :]
        found = watch(journal, ["whole", str(journal), *rest])
        outcomes |= dict(zip(list(CASES)[len(outcomes) :], found, strict=False))
    return outcomes


@pytest.mark.parametrize("case", CASES)
def test_a_named_damage_ends_as_it_should(case: str, named: dict[str, Outcome]) -> None:
    assert not named[case].bad, named[case].result
    assert named[case].result in CASES[case][1]


WRONG = (
    *(None, "x\x1b[31m", "", [], {}, -1, 1 << 70, 1.5, float("nan"), float("inf"), True, [[1, 2]], [None]),
    *([[0, 1 << 47]], [[-4096, 4096]], [[4096, 0]], {"path": 1}, {"smaps": "Rss: \u00b2 kB"}, "9999-01-01"),
    *({"status": "VmRSS: " + "9" * 5000}, {"offset": 0, "size": 1 << 62}, "0001-01-01"),
)


@pytest.mark.parametrize("half", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_note_with_wrong_values_costs_no_more_than_what_it_said(
    captured: Callable[[str, Mode], Path], tmp_path: Path, half: int
) -> None:
    whole = captured("specials", Mode.STRIPPED).read_bytes()
    note = open_core(captured("specials", Mode.STRIPPED)).note
    assert note is not None
    at = whole.index(b'{"version"')
    size = json.JSONDecoder().raw_decode(whole[at : at + (1 << 20)].decode("ascii", "replace"))[1]
    note["proc"]["smaps"] = ""
    paths = []
    said = [key for key in note if key not in ("executable", "zero_ranges")]
    for number, value in list(enumerate(WRONG))[half::2]:
        for keys in (said, ["executable"] if number % 3 else ["zero_ranges"])[: 1 + number // 2 % 2]:
            text = json.dumps({**note, **dict.fromkeys(keys, value)}).encode()
            whole_text = text[:size].ljust(size)
            paths.append(tmp_path / f"{keys[0]}-{number}.core")
            paths[-1].write_bytes(whole[:at] + whole_text + whole[at + size :])
    journal = tmp_path / "journal"

    outcomes = watch(journal, ["whole", str(journal), *map(str, paths)])

    assert told(outcomes) == ""
    assert len(outcomes) == len(paths)


def test_captures_cut_off_anywhere_give_an_answer_or_an_error(
    captured: Callable[[str, Mode], Path], tmp_path: Path
) -> None:
    whole = captured("specials", Mode.STRIPPED).read_bytes()
    paths = []
    for end in (
        0,
        1,
        17,
        63,
        64,
        4096,
        10_000,
        *range(100_000, len(whole), len(whole) // 17),
        len(whole) - 1,
    ):
        paths.append(tmp_path / f"{end}.core")
        paths[-1].write_bytes(whole[:end])
    journal = tmp_path / "journal"

    outcomes = watch(journal, ["whole", str(journal), *map(str, paths)])

    assert told(outcomes) == ""
    assert len(outcomes) == len(paths)
    assert outcomes[0].result == "Truncated"
    assert outcomes[-1].result == "answer"
