"""What other settings would give, worked out by hand from the formulas in runtime/mgcpacer.go."""

from __future__ import annotations

from dataclasses import replace

import pytest

from heldby.analysis.answer import RssRow, Setting
from heldby.analysis.rss.cgroup import Charge
from heldby.analysis.rss.evidence import Evidence
from heldby.analysis.rss.settings import settings_of
from heldby.golang.books.collector import Collector
from heldby.memory.mappings import parse_smaps

MIB = 1 << 20
#: 100 MiB were live after the last collection; stacks and globals are nothing.
TODAY = Collector(
    percent=100,
    memory_limit=None,
    heap_minimum=4 * MIB,
    percent_goal=200 * MIB,
    heap_live=150 * MIB,
    heap_allocated=150 * MIB,
    heap_marked=100 * MIB,
    stack_scan=0,
    globals_scan=0,
    mapped_ready=190 * MIB,
    heap_free=30 * MIB,
)
ROWS = [
    RssRow(name="live objects", bytes=100 * MIB, group="heap"),
    RssRow(name="program text", bytes=4 * MIB, group="program"),
    RssRow(name="C heap (malloc)", bytes=6 * MIB, group="outside"),
]
MEMORY = tuple(parse_smaps("c000000000-c010000000 rw-p 00000000 00:00 0\nRss: 204800 kB\n"))


def test_half_of_gogc_halves_the_room_and_doubles_the_collections() -> None:
    found = settings_of(TODAY, None, Evidence(MEMORY, None, None, {}), Charge((), None, None, 0), ROWS)

    assert [setting.setting for setting in found] == ["GOGC=50", "GOGC=200"]
    half, double = found
    assert (half.goal_bytes, half.saving_bytes, half.collections) == (150 * MIB, 50 * MIB, 2.0)
    assert (double.goal_bytes, double.saving_bytes, double.collections) == (300 * MIB, -100 * MIB, 0.5)


def test_stacks_and_globals_count_towards_the_goal() -> None:
    collector = replace(TODAY, stack_scan=30 * MIB, globals_scan=10 * MIB)

    assert collector.goal_at(50) == 100 * MIB + (100 + 30 + 10) * MIB // 2


def test_a_small_heap_has_the_minimum_goal() -> None:
    assert replace(TODAY, heap_marked=MIB).goal_at(100) == 4 * MIB
    assert replace(TODAY, heap_marked=MIB).goal_at(200) == 8 * MIB


def limited(limit: int, collector: Collector = TODAY, firm: int = 0) -> Setting:
    charge = Charge((), limit, None, firm)
    return settings_of(collector, None, Evidence(MEMORY, None, None, {}), charge, ROWS)[-1]


def test_a_memory_limit_leaves_room_for_what_is_not_the_runtime_s() -> None:
    found = limited(200 * MIB, firm=10 * MIB)

    # 5 % of 200 MiB, 10 of the program and C, 10 of the kernel: 170 MiB for the runtime. It has 10 MiB beside
    # its heap (190 ready - 30 free - 150 objects); of the 160 left it holds back 3 %.
    assert found.setting == "GOMEMLIMIT=170MiB"
    assert found.goal_bytes == 160 * MIB - 160 * MIB * 3 // 100
    # Room of 55.2 MiB instead of 100.
    assert found.collections == pytest.approx(100 / 55.2, abs=0.01)
    assert "leaves the limit of 200 MiB 30.0 MiB for all else" in str(found.note)


def test_a_limit_above_the_goal_costs_nothing_today() -> None:
    found = limited(1024 * MIB)

    assert (found.saving_bytes, found.collections) == (0, 1.0)
    assert "no cost today" in str(found.note)


def test_a_limit_that_live_objects_fill_does_not_fit() -> None:
    found = limited(130 * MIB)

    assert found.collections is None
    assert "does not fit" in str(found.note)


def test_without_gogc_nothing_is_compared_with_a_goal() -> None:
    found = settings_of(
        replace(TODAY, percent=None, percent_goal=None),
        None,
        Evidence(MEMORY, None, None, {}),
        Charge((), None, None, 0),
        ROWS,
    )

    assert [(setting.setting, setting.collections) for setting in found] == [
        ("GOGC=50", None),
        ("GOGC=100", None),
        ("GOGC=200", None),
    ]


def test_the_limit_decides_where_it_is_lower_than_gogc() -> None:
    collector = replace(TODAY, memory_limit=140 * MIB, mapped_ready=190 * MIB)

    # 10 MiB beside the heap, and 50 over the limit already: 80 MiB less 3 %, but never below what is live.
    assert collector.goal == 100 * MIB
    assert replace(collector, memory_limit=None).goal == 200 * MIB
