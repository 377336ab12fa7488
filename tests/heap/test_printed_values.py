"""Keys of maps, numbers and errors, against what the program's own fmt prints of them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import heldby
from heldby.golang.values import Limits, Value
from heldby.heap.heap import Heap
from heldby.heap.values import values_of
from tests.support.build import Mode, build
from tests.support.process import running, wait_until_still
from tests.support.toolchains import Toolchain

pytestmark = pytest.mark.ptrace

PROGRAM = Path(__file__).parent / "programs" / "printed"
ALL = Limits(items=10_000, text=10_000, values=1_000_000)


@functools.cache
def captured(go: Toolchain, mode: Mode) -> tuple[Heap, Mapping[str, Any]]:
    with running(build(PROGRAM, go, mode)) as program:
        wait_until_still(program.pid)
        return heldby.open(program.pid).heap, dict(program.ready)


def read(go: Toolchain, mode: Mode, name: str, limits: Limits = ALL) -> Value:
    heap, ready = captured(go, mode)
    reader = values_of(heap)
    return reader.read_object(reader.object_at(int(ready[name])), limits)


def test_python_has_the_address_of_what_lies_deeper_than_asked_for(go: Toolchain) -> None:
    found = read(go, Mode.STRIPPED, "deep", Limits(depth=1))

    python = found.python
    queue = found["Queue"].elements[0]
    assert python == {
        "Slice": [each.target for each in found["Slice"].elements],
        "Map": {"a": found["Map"].entries[0][1].target, "e": {}, "n": None},
        "Empty": [[], None],
        "Queue": [queue.target],
        "Values": [1, 2, 3],
    }
    assert all(python["Slice"])
    assert python["Map"]["a"] > 0
    assert read(go, Mode.STRIPPED, "deep", Limits(depth=4)).python == {
        "Slice": [[[1, 2]], [[3]]],
        "Map": {"a": {"b": 1}, "e": {}, "n": None},
        "Empty": [[], None],
        "Queue": [[["q"]]],
        "Values": [1, 2, 3],
    }


def test_python_has_the_address_of_values_beyond_the_most_that_are_read(go: Toolchain) -> None:
    found = read(go, Mode.STRIPPED, "deep", Limits(depth=4, values=3))

    assert found["Queue"].note == "too many values"
    assert found.python["Queue"] == found["Queue"].address
