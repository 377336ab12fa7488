"""Goroutines that nothing can wake, against a program that knows and against the runtime's own profile."""

from __future__ import annotations

import functools
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import heldby
from heldby.analysis.drilldown.goroutines import GoroutineStacks, goroutines, read_goroutine_stacks
from heldby.analysis.drilldown.leaks import Leaks, find_leaks
from heldby.capture import capture_process
from tests.support.build import MODES, Mode, scenario_program
from tests.support.damage import Capture
from tests.support.process import running, wait_until_still
from tests.support.toolchains import Toolchain

pytestmark = pytest.mark.ptrace

#: By the program's text: how many goroutines of each kind it starts.
LEAKED = {
    "main.leakedReceive": 5,
    "main.leakedSend": 3,
    "main.leakedSelect": 2,
    "main.leakedForNothing": 1,
    "main.leakedNilReceive": 1,
    "main.leakedNilSend": 1,
    "main.leakedPair": 2,
    "main.leakedChain": 3,
    "main.leakedLock": 2,
    "main.leakedRLock": 2,
    "main.leakedWLock": 1,
    "main.leakedGroup": 2,
    "main.leakedCond": 3,
}
WAITING = {
    "main.waitingGlobal": 4,
    "main.waitingField": 1,
    "main.waitingSelect": 2,
    "main.waitingTimer": 1,
    "main.waitingTicker": 1,
    "main.waitingSleep": 1,
    "main.waitingLock": 2,
    "main.waitingGroup": 1,
    "main.waitingCond": 2,
    "main.waitingChain": 3,
    "main.waitingForMain": 1,
}
ON_CHANNELS = {f"main.leaked{name}" for name in ("Receive", "Send", "Select", "Pair", "Chain")}
#: Slots of runtime structures by release: hchan, sudog and g, rounded up to their size classes.
CHANNEL = {"1.21": 96, "1.22": 96, **dict.fromkeys(("1.23", "1.24", "1.25", "1.26", "1.27"), 112)}
RECORD = {"1.26": 112, "1.27": 112, **dict.fromkeys(("1.21", "1.22", "1.23", "1.24", "1.25"), 96)}
G = {"1.21": 416, **dict.fromkeys(("1.22", "1.23", "1.24", "1.25"), 448), "1.26": 480, "1.27": 480}
OWN = re.compile(r"main\.(?:leaked|waiting)\w+")


@dataclass(frozen=True, slots=True)
class Look:
    """The program as heldby sees it and, for 1.27, as its runtime does: ids of leaked goroutines."""

    stacks: GoroutineStacks
    leaks: Leaks
    profile: frozenset[int]


@functools.cache
def look(go: Toolchain, mode: Mode) -> Look:
    with running(scenario_program("leaks", go, mode)) as program:
        wait_until_still(program.pid)
        stacks = read_goroutine_stacks(heldby.open(program.pid).heap)
        program.send("profile")
        text = program.line()["profile"]
    leaked = re.findall(r"^goroutine (\d+) \[[^\]]*\(leaked\)", text, re.MULTILINE)
    return Look(stacks, find_leaks(stacks.heap, stacks.table), frozenset(map(int, leaked)))


def function_of(stacks: GoroutineStacks, row: int) -> str:
    found = OWN.search(stacks.stack_text(row, most=20))
    return found.group() if found else ""


@pytest.mark.parametrize("mode", MODES)
def test_exactly_those_are_leaked_that_nothing_can_wake(mode: Mode, go: Toolchain) -> None:
    found = look(go, mode)

    leaked = Counter(function_of(found.stacks, int(row)) for row in np.flatnonzero(found.leaks.leaked))
    alive = found.stacks.alive & ~found.leaks.leaked
    others = Counter(function_of(found.stacks, int(row)) for row in np.flatnonzero(alive))
    del others[""]  # the main goroutine and the runtime's own
    assert leaked == LEAKED
    assert others == WAITING
    assert found.leaks.unknown == 0


@pytest.mark.parametrize("mode", MODES)
def test_the_runtime_itself_finds_the_same_goroutines(mode: Mode, go: Toolchain) -> None:
    if go.minor < "1.27":
        pytest.skip("the goroutineleak profile came with Go 1.27")
    found = look(go, mode)

    own = set(found.stacks.table.goid[found.leaks.leaked].tolist())
    assert len(found.profile) == sum(LEAKED.values())
    assert own == found.profile


@pytest.mark.parametrize("mode", MODES)
def test_the_leaked_keep_their_loads_and_channels(mode: Mode, go: Toolchain) -> None:
    """8 loads, 18 channels, and the lock, the condition and its guard, of 64 bytes each."""
    found = look(go, mode)

    # Before 1.26 the records of those that wait for a condition hang on it and on nothing else.
    records = 3 if go.minor < "1.26" else 0
    own = 8 * 1024 + 18 * CHANNEL[go.minor] + 3 * 64
    assert found.leaks.kept_bytes == own + records * RECORD[go.minor]
    assert found.leaks.kept_objects == 8 + 18 + 3 + records


def test_records_in_circles_prove_nothing(go: Toolchain, tmp_path: Path) -> None:
    """A damaged list of waiting records ends the search for it, and its goroutine is taken for one that may run."""
    core, damaged = tmp_path / "leaks.core", tmp_path / "damaged.core"
    with running(scenario_program("leaks", go)) as program:
        wait_until_still(program.pid)
        capture_process(program.pid, core)
    capture = Capture(np.fromfile(core, np.uint8))
    whole = read_goroutine_stacks(capture.heap)
    link = capture.heap.process.runtime.layout.offset("runtime.sudog", "waitlink")
    states, codes = whole.states
    on_channels = [states.index(name) for name in ("chan receive", "chan send", "select")]
    heads = whole.table.waiting[np.isin(codes, on_channels) & (whole.table.waiting != 0)]
    data = capture.data.copy()
    for head in heads.tolist():
        capture.write(data, head + link, head)
    data.tofile(damaged)

    stacks = read_goroutine_stacks(heldby.open(damaged, cache=False).heap)
    leaks = find_leaks(stacks.heap, stacks.table)

    assert leaks.unknown == heads.size > 20
    leaked = Counter(function_of(stacks, int(row)) for row in np.flatnonzero(leaks.leaked))
    # What waits on channels is unknown now; a closed list does not touch those that wait for nothing or a lock.
    assert set(leaked) <= {name for name in LEAKED if name not in ON_CHANNELS}
    assert leaked["main.leakedNilSend"] == 1


def test_groups_are_stacks_with_what_they_retain(go: Toolchain) -> None:
    found = look(go, Mode.DEFAULT)

    table = goroutines(found.stacks)
    rows = {match.group(): row for row in table.rows() if (match := OWN.search(str(row["stack"])))}
    receive, others = rows["main.leakedReceive"], rows["main.waitingGlobal"]
    assert (receive["goroutines"], receive["state"], receive["leaked"]) == (5, "chan receive", True)
    assert (others["goroutines"], others["state"], others["leaked"]) == (4, "chan receive", False)
    # Each of the five has its load and its channel to itself, each of the four its load; and each is the only
    # way to its own waiting record and its g but for the runtime's lists.
    own = RECORD[go.minor] + G[go.minor]
    assert receive["retained_bytes"] == 5 * (1024 + CHANNEL[go.minor] + own)
    assert receive["retained_objects"] == 5 * 4
    assert (others["retained_bytes"], others["retained_objects"]) == (4 * (1024 + own), 4 * 3)
    assert receive["created_by"] == "main.run"
    assert rows["main.waitingSleep"]["state"] == "sleep"
    assert rows["main.leakedNilSend"]["state"] == "chan send (nil chan)"
    ours = [row for row in table.rows() if OWN.search(str(row["stack"]))]
    assert sum(row["goroutines"] for row in ours) == sum((*LEAKED.values(), *WAITING.values()))


def test_waiting_times_are_those_of_the_runtimes_clock(go: Toolchain) -> None:
    found = look(go, Mode.DEFAULT)

    waits = [row["waited_seconds"] for row in goroutines(found.stacks, only_leaked=True).rows()]
    assert waits
    assert all(seconds is not None and 0 < seconds < 120 for seconds in waits)


def test_only_leaked_ones_are_listed_when_asked_for(go: Toolchain) -> None:
    found = look(go, Mode.DEFAULT)

    table = goroutines(found.stacks, only_leaked=True)
    assert all(row["leaked"] for row in table.rows())
    assert sum(table["goroutines"].to_list()) == sum(LEAKED.values())
    assert f"{sum(LEAKED.values())} leaked for certain" in table.title


def test_the_first_groups_are_those_of_the_whole_list(go: Toolchain) -> None:
    found = look(go, Mode.DEFAULT)

    few, whole = goroutines(found.stacks, limit=3), goroutines(found.stacks)
    assert few["retained_bytes"].to_list() == whole["retained_bytes"].to_list()[:3]
    assert few.row_count == len(whole)
