"""The scenario programs themselves: what they hold by their own measure is what is written out."""

from __future__ import annotations

import pytest

from tests.support.build import MODES, Mode, scenario_program
from tests.support.process import running
from tests.support.scenario import NAMES, NOISE_BYTES, NOISE_OBJECTS, expected
from tests.support.toolchains import Toolchain


@pytest.mark.parametrize("name", NAMES)
def test_program_holds_what_is_written_out(name: str, go: Toolchain) -> None:
    written = expected(name, minor=go.minor)

    with running(scenario_program(name, go)) as program:
        measured = program.ready["measured"]
        facts = program.ready["facts"]

    for root, growth in measured.items():
        objects, shallow_bytes = written.total(root)
        more_objects = growth["objects"] - objects
        more_bytes = growth["bytes"] - shallow_bytes
        if root in written.partial:
            assert more_objects >= 0, root
            assert more_bytes >= 0, root
        elif root not in written.more.get("measured_with_others", ()):
            assert 0 <= more_objects <= NOISE_OBJECTS, (root, growth, objects)
            assert 0 <= more_bytes <= NOISE_BYTES, (root, growth, shallow_bytes)
    for fact, value in written.more.get("facts", {}).items():
        assert facts[fact] == value


@pytest.mark.parametrize("mode", MODES)
def test_program_grows_the_heap_root_by_root(mode: Mode, go: Toolchain) -> None:
    with running(scenario_program("growth", go, mode)) as program:
        measured = program.ready["measured"]
        heap = program.ready["memstats"]

    assert len(measured) == 13
    grown = sum(growth["bytes"] for growth in measured.values())
    assert 24_000_000 < grown < heap["HeapAlloc"] < grown + 200_000


def test_program_is_built_once_for_each_content_and_mode(go: Toolchain) -> None:
    default = scenario_program("structs", go)

    assert scenario_program("structs", go) == default
    assert scenario_program("structs", go, Mode.STRIPPED) != default
    assert default.name == "structs"
