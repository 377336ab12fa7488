"""Oracles: what heldby reads in the scenario programs is what they hold, to the object and to the byte."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from tests.scenarios.reading import not_the_runtimes_own, read
from tests.support.build import MODES, Mode
from tests.support.scenario import NAMES, expected, names
from tests.support.toolchains import Toolchain

pytestmark = pytest.mark.ptrace

#: Goroutines of this program run while it is looked at, so that its stacks are not those of the collection.
MOVING = "spinning"
#: In Go 1.24 a goroutine of package unique walks the maps of handles after each collection (net has one too): the
#: closures of its walk and the dead entries that it unlinks were marked and are garbage when it is done.
CLEANED = ("goroutines", "handles")
QUIET = tuple(name for name in NAMES if name != MOVING)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NAMES)
def test_allocated_slots_are_those_that_the_program_counts(name: str, mode: Mode, go: Toolchain) -> None:
    reading = read(name, go, mode)

    assert reading.totals.objects == reading.ready["memstats"]["HeapObjects"]
    assert reading.allocated_bytes == reading.ready["memstats"]["HeapAlloc"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", QUIET)
def test_reachable_objects_are_those_that_the_collector_marked(name: str, mode: Mode, go: Toolchain) -> None:
    reading = read(name, go, mode)

    if go.minor == "1.24" and name in CLEANED:
        assert len(reading.unreached) <= 12
    else:
        assert not_the_runtimes_own(reading.unreached) == ()
    assert not_the_runtimes_own(reading.unmarked) == ()


@pytest.mark.parametrize("mode", MODES)
def test_running_goroutines_keep_what_they_work_on(mode: Mode, go: Toolchain) -> None:
    reading = read(MOVING, go, mode)

    assert reading.types["main.Matrix"] == 2
    # The collector stopped the goroutines elsewhere than we did: a few words of dead stack may differ.
    assert len(reading.unreached) <= 3
    assert len(reading.unmarked) <= 3
    assert not any("main." in type_name for _, type_name in (*reading.unreached, *reading.unmarked))


@pytest.mark.parametrize("name", QUIET)
def test_objects_of_each_type_stand_at_their_paths(name: str, go: Toolchain) -> None:
    reading = read(name, go, Mode.DEFAULT)

    wrong = []
    for row in expected(name, minor=go.minor).rows:
        if row.objects is None:
            continue
        found = [
            place
            for place in reading.places
            if place.root == row.root and row.path in (None, place.path) and row.type in (None, place.type)
        ]
        objects = sum(place.objects for place in found)
        shallow_bytes = sum(place.shallow_bytes for place in found)
        if (objects, shallow_bytes) != (row.objects, row.shallow_bytes):
            wrong.append((row, objects, shallow_bytes))
    assert wrong == []


@pytest.mark.parametrize("name", QUIET)
def test_roots_hold_what_is_written_out_and_nothing_else(name: str, go: Toolchain) -> None:
    reading = read(name, go, Mode.DEFAULT)
    written = expected(name, minor=go.minor)

    for root in written.roots:
        objects = sum(place.objects for place in reading.places if place.root == root)
        shallow_bytes = sum(place.shallow_bytes for place in reading.places if place.root == root)
        if root in written.partial:
            assert (objects, shallow_bytes) >= written.total(root), root
        else:
            assert (objects, shallow_bytes) == written.total(root), root


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NAMES)
def test_objects_are_counted_by_type(name: str, mode: Mode, go: Toolchain) -> None:
    reading = read(name, go, mode)
    written = expected(name, minor=go.minor)

    unknowable = written.untyped_when_stripped if mode is Mode.STRIPPED else frozenset()
    counted = {type_name: reading.types[type_name] for type_name in written.types()}
    for type_name in unknowable:
        counted.pop(type_name, None)
    assert counted == {k: v for k, v in written.types().items() if k not in unknowable}


def test_a_stripped_program_has_the_shapes_that_inlined_generic_code_allocates(go: Toolchain) -> None:
    types = read("generics", go, Mode.STRIPPED).types

    assert types["main.node[go.shape.*uint8]"] == 65
    assert types["main.node[go.shape.string]"] == 30
    assert types["main.entry[string,main.Config]"] == 7  # the map's type has its descriptor
    assert not [name for name in types if name.startswith("main.entry[go.shape.")]


@pytest.mark.parametrize("name", [name for name in QUIET if "blocked" in expected(name).more])
def test_locals_of_blocked_goroutines_hold_by_name(name: str, go: Toolchain) -> None:
    reading = read(name, go, Mode.DEFAULT)

    for blocked in expected(name).more["blocked"]:
        if "variable" not in blocked:
            continue
        path = re.compile(rf"goroutine \S+ {re.escape(blocked['function'])}\.{blocked['variable']}(\[\*\])?")
        found: Counter[str] = Counter()
        for place in reading.places:
            if path.fullmatch(place.path):
                found[place.type] += place.objects
        assert found[blocked["type"]] == blocked["objects"], (blocked, found)


@pytest.mark.parametrize(("mode", "least"), [(Mode.DEFAULT, 0.995), (Mode.STRIPPED, 0.97)])
def test_nearly_all_live_bytes_have_a_type(mode: Mode, least: float, go: Toolchain) -> None:
    totals = [read(name, go, mode).totals for name in (*names(go.minor), "growth")]

    live = sum(total.live_bytes for total in totals)
    assert sum(total.typed_bytes or 0 for total in totals) >= least * live


@pytest.mark.parametrize("mode", MODES)
def test_roots_retain_what_the_heap_grew_by(mode: Mode, go: Toolchain) -> None:
    """Within 1 %, measured by the program itself, root by root."""
    reading = read("growth", go, mode)
    grown = {root: growth["bytes"] for root, growth in reading.ready["measured"].items()}

    retained: Counter[str] = Counter()
    for place in reading.places:
        retained[place.root] += place.shallow_bytes
    if mode is Mode.STRIPPED:
        # Without a symbol table the roots have no names: compare the sizes, largest first.
        grown = dict(enumerate(sorted(grown.values(), reverse=True)))
        retained = Counter(dict(enumerate(sorted(retained.values(), reverse=True))))

    for root, size in grown.items():
        assert retained[root] == pytest.approx(size, rel=0.01), root
