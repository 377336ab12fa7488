"""Sites, what holders hold of them, and samples in SQL: the same amounts as in the program's source."""

from __future__ import annotations

import pytest

from heldby.session import Session
from tests.support.allocations import sites_heap
from tests.support.toolchains import Toolchain

pytestmark = pytest.mark.ptrace


def test_held_joins_sites_and_holders(go: Toolchain) -> None:
    found = Session(sites_heap(go, 1)).sql(
        "SELECT s.function, h.path, sum(bytes)::BIGINT, sum(samples)::BIGINT"
        " FROM held JOIN sites s USING (site) JOIN holders h USING (holder)"
        " WHERE s.function LIKE 'main.new%' GROUP BY ALL"
    )

    assert {tuple(row.values()) for row in found.rows()} == {
        ("main.newSmall", "main.left.Small[*][*]", 4096 * 1024, 4096),
        ("main.newLarge", "main.left.Large[*][*]", 512 * 65536, 512),
        ("main.newSmall", "main.right.Small[*][*]", 8192 * 1024, 8192),
        ("main.newLarge", "main.right.Large[*][*]", 64 * 65536, 64),
        ("main.newInlined", "main.right.Middle[*][*]", 2048 * 4096, 2048),
    }


def test_samples_join_objects(go: Toolchain) -> None:
    found = Session(sites_heap(go, 1)).sql(
        "SELECT o.live, o.bytes, count(*), sum(stands_for_bytes)::BIGINT, sum(stands_for_objects)::BIGINT"
        " FROM samples m JOIN objects o ON o.address = m.object JOIN sites s USING (site)"
        " WHERE s.function = 'main.newSmall' GROUP BY ALL"
    )

    assert {tuple(row.values()) for row in found.rows()} == {
        (True, 1024, 12_288, 12_288 * 1024, 12_288),
        (False, 1024, 2048, 2048 * 1024, 2048),
    }


def test_tables_are_empty_without_a_profile(go: Toolchain) -> None:
    found = Session(sites_heap(go, 0)).sql(
        "SELECT (SELECT count(*) FROM sites), (SELECT count(*) FROM held), (SELECT count(*) FROM samples)"
    )

    assert [tuple(row.values()) for row in found.rows()] == [(0, 0, 0)]
