"""What values take in other forms, against what encoding/json and a packed form written in Go say of them."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import heldby
from heldby.golang.texts.value_walk_kernels import (
    CYCLES,
    FULL,
    FUNCTIONS,
    MISSING_BYTES,
    NO_JSON,
    NOTE_COUNT,
    PACKED,
    SHARED,
    UNKNOWN_TYPES,
    VISIBLE,
    Units,
)
from heldby.heap.heap import Heap
from heldby.heap.value_walk import Measured, ValueWalk
from tests.support.build import MODES, Mode, build
from tests.support.process import running, wait_until_still
from tests.support.toolchains import Toolchain

pytestmark = pytest.mark.ptrace

PROGRAM = Path(__file__).parent / "programs" / "encodings"
BUDGET = 1 << 30


@functools.cache
def captured(go: Toolchain, mode: Mode) -> tuple[Heap, dict[str, Any]]:
    with running(build(PROGRAM, go, mode)) as program:
        wait_until_still(program.pid)
        return heldby.open(program.pid).heap, dict(program.ready)


def measured(heap: Heap, addr: int, count: int) -> Measured:
    """Walk the elements of a ``[]any``, each free to go wherever it leads."""
    (interface,) = heap.naming.types.layouts.types.named("interface {}")
    addrs = np.uint64(addr) + np.arange(count, dtype=np.uint64) * np.uint64(16)
    units = Units(addrs, np.full(count, interface, np.uint32), np.ones(count, np.uint32))
    return ValueWalk(heap).measure(units, np.ones(heap.tree.reached_count, np.uint32), budget=BUDGET)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name.lower())
def test_text_is_as_long_as_encoding_json_writes_it(go: Toolchain, mode: Mode) -> None:
    heap, ready = captured(go, mode)
    cases = ready["cases"]

    found = measured(heap, int(ready["addr"]), len(cases))

    assert len(cases) == 257
    wrong = [
        (case["name"], case["json"], size)
        for case, size in zip(cases, found.sizes[:, VISIBLE].tolist(), strict=True)
        if case["json"] != size
    ]
    assert not wrong
    assert found.done.all()


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name.lower())
def test_packed_form_is_as_long_as_the_program_works_out(go: Toolchain, mode: Mode) -> None:
    heap, ready = captured(go, mode)
    cases = ready["cases"]

    found = measured(heap, int(ready["addr"]), len(cases))

    wrong = [
        (case["name"], case["packed"], size)
        for case, size in zip(cases, found.sizes[:, PACKED].tolist(), strict=True)
        if case["packed"] != size
    ]
    assert not wrong


def test_nothing_of_plain_data_is_left_out(go: Toolchain) -> None:
    heap, ready = captured(go, Mode.STRIPPED)

    notes = measured(heap, int(ready["addr"]), len(ready["cases"])).notes

    assert [
        int(notes[row]) for row in (SHARED, CYCLES, FUNCTIONS, UNKNOWN_TYPES, MISSING_BYTES, NO_JSON)
    ] == [0] * 6


def test_unexported_fields_count_in_full_as_their_exported_twin(go: Toolchain) -> None:
    heap, ready = captured(go, Mode.STRIPPED)
    at = [index for index, case in enumerate(ready["cases"]) if case["name"] == "hidden"]

    exported, hidden = measured(heap, int(ready["addr"]), len(ready["cases"])).sizes[at]

    # {"Id":1,"Name":"n","Tags":["a","b"],"Inner":{"Id":0,"Name":"in","Tags":null,"Inner":null}}
    assert exported[VISIBLE] == exported[FULL] == 90
    assert hidden[FULL] == 90
    assert hidden[VISIBLE] == 2
    assert hidden[PACKED] == exported[PACKED]


def test_what_has_no_text_is_null_and_counted(go: Toolchain) -> None:
    heap, ready = captured(go, Mode.STRIPPED)

    found = measured(heap, int(ready["spare"]), 7)

    # {"Name":"loop","Self":null} · {"F":null,"C":null,"P":null} · null · null · null · {"[1,2]":3}
    # {"[1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]":"v"}: keys of more than 128 bytes lie behind pointers.
    assert found.sizes[:, VISIBLE].tolist() == [27, 28, 4, 4, 4, 11, 43]
    expected = dict.fromkeys(range(NOTE_COUNT), 0) | {CYCLES: 1, FUNCTIONS: 3, NO_JSON: 5}
    for row in (CYCLES, FUNCTIONS, NO_JSON, SHARED, UNKNOWN_TYPES):
        assert int(found.notes[row]) == expected[row]


def test_what_others_keep_is_not_entered(go: Toolchain) -> None:
    heap, ready = captured(go, Mode.STRIPPED)
    (at,) = [index for index, case in enumerate(ready["cases"]) if case["name"] == "tree"]
    (interface,) = heap.naming.types.layouts.types.named("interface {}")
    units = Units(
        np.array([int(ready["addr"]) + 16 * at], np.uint64),
        np.array([interface], np.uint32),
        np.zeros(1, np.uint32),
    )

    found = ValueWalk(heap).measure(units, np.zeros(heap.tree.reached_count, np.uint32), budget=BUDGET)

    assert found.sizes.tolist() == [[4, 4, 3]]
    assert int(found.notes[SHARED]) == 1


def test_budget_ends_the_walk_and_says_what_was_not_reached(go: Toolchain) -> None:
    heap, ready = captured(go, Mode.STRIPPED)
    (interface,) = heap.naming.types.layouts.types.named("interface {}")
    count = 40
    addrs = np.uint64(int(ready["addr"])) + np.arange(count, dtype=np.uint64) * np.uint64(16)
    units = Units(addrs, np.full(count, interface, np.uint32), np.ones(count, np.uint32))

    found = ValueWalk(heap).measure(units, np.ones(heap.tree.reached_count, np.uint32), budget=10)

    assert 0 < int(found.done.sum()) < 10
    assert not found.sizes[~found.done].any()
