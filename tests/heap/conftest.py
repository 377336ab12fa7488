"""Each scenario program is captured once for each release and mode; many tests look at the same heap."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

import heldby
from heldby.heap import Heap
from tests.support.build import MODES, Mode, scenario_program
from tests.support.process import running
from tests.support.scenario import NAMES, Expected, expected
from tests.support.toolchains import Toolchain

#: A program that measures what it holds but has no list of it.
ALL = (*NAMES, "growth")


@dataclass(frozen=True)
class Seen:
    """A scenario as heldby saw it, and what the program says of itself."""

    name: str
    mode: Mode
    heap: Heap
    ready: Any
    expected: Expected | None


@pytest.fixture(scope="session", params=MODES, ids=lambda mode: mode.name.lower())
def mode(request: pytest.FixtureRequest) -> Mode:
    """Built as usual, and stripped."""
    return request.param


@pytest.fixture(scope="session", params=ALL)
def seen(request: pytest.FixtureRequest, go: Toolchain, mode: Mode) -> Iterator[Seen]:
    """A scenario's heap, captured from the live process."""
    name = request.param
    with running(scenario_program(name, go, mode)) as program:
        heap = heldby.open(program.pid)
        yield Seen(name, mode, heap, program.ready, expected(name) if name in NAMES else None)
