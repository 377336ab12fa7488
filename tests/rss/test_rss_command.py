"""``heldby rss``: the screen, JSON and CSV of one capture, and of captures of which less can be read."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from heldby.analysis.rss import rss_account
from heldby.analysis.rss.answering import rss_answer
from heldby.capture import capture_process
from heldby.cli.main import cli
from heldby.cli.run import Run
from heldby.errors import CheckFailed
from heldby.heap import Heap, load_heap
from heldby.heap.process import Process, assemble_process
from heldby.memory.core_file import open_core
from tests.rss.examining import started
from tests.support.toolchains import Toolchain

pytestmark = pytest.mark.ptrace
MIB = 1 << 20


@pytest.fixture(scope="module")
def capture(go: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rss") / "fragments.core"
    with started("fragments", go) as program:
        capture_process(program.pid, path)
    return path


def heldby(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["rss", "-q", *arguments], obj=Run(), catch_exceptions=False)


def test_the_screen_begins_with_the_verdict_and_ends_with_other_settings(capture: Path) -> None:
    lines = heldby(str(capture)).output.split("\n")

    verdict = " ".join(lines[:2])
    assert " is free slots between live objects, fragmentation; nothing leaks outside the heap." in verdict
    places = [index for index, line in enumerate(lines) if line.split("  ")[0] in HEADINGS]
    assert [lines[place].split("  ")[0] for place in places] == HEADINGS
    assert any("900 k  size class 64 B" in line for line in lines)


HEADINGS = ["WHERE IT WENT", "COLLECTOR", "OTHER SETTINGS"]


def test_json_rows_add_up_exactly(capture: Path) -> None:
    document = json.loads(heldby(str(capture), "--format", "json").output)

    account = document["rss"]
    assert sorted(document) == ["capture", "caveats", "process", "rss", "schema"]
    rows = sum(row["bytes"] for row in account["rows"])
    assert rows + account["unexplained_bytes"] == account["total_bytes"] == document["process"]["rss_bytes"]
    assert account["cause"] == "fragmentation"
    assert account["collector"]["gogc_off"] is True


def test_csv_has_the_rows_of_the_json(capture: Path, tmp_path: Path) -> None:
    document = json.loads(heldby(str(capture), "--format", "json").output)
    heldby(str(capture), "--format", "csv", "-o", str(tmp_path / "rss.csv"))

    with (tmp_path / "rss.csv").open() as file:
        rows = list(csv.DictReader(file))
    wanted = {row["name"]: row["bytes"] for row in document["rss"]["rows"] + document["rss"]["beyond"]}
    assert {row["row"]: int(row["resident_bytes"]) for row in rows if row["row"] != "unexplained"} == wanted


def test_an_unreadable_heap_leaves_the_other_rows(capture: Path) -> None:
    core = open_core(capture)

    def unreadable() -> Heap:
        raise CheckFailed("spans", "mheap_.allspans has 0 entries")

    answer = rss_answer(core, unreadable, lambda: assemble_process(core))

    account = answer.rss
    whole = rss_account(core, (heap := load_heap(core)).process, heap)
    in_use = next(row for row in account.rows if row.name == "spans in use")
    parts = {row.name: row.bytes or 0 for row in whole.rows}
    names = ("live objects", "held by finalizers only", "garbage, not swept", "free slots in spans")
    assert in_use.bytes == sum(parts[name] for name in (*names, "span tails and bitmaps"))
    assert account.total_bytes == sum(row.bytes or 0 for row in account.rows)
    assert account.cause == "unknown"
    assert any("the heap's objects could not be read: mheap_.allspans" in text for text in answer.caveats)


def test_an_unreadable_runtime_leaves_the_mappings(capture: Path) -> None:
    core = open_core(capture)

    def no_heap() -> Heap:
        raise CheckFailed("spans", "no spans")

    def no_process() -> Process:
        raise CheckFailed("mheap_ self-reference", "runtime.mheap_ was not found")

    answer = rss_answer(core, no_heap, no_process)

    account = answer.rss
    sizes = {row.name: row.bytes or 0 for row in account.rows}
    assert account.total_bytes == sum(sizes.values())
    assert sizes["anonymous memory"] > 60 * MIB
    assert account.verdict is not None
    assert "is anonymous memory that could not be divided" in account.verdict
    assert len(answer.caveats) == 2


def test_a_core_of_another_tool_has_address_space_and_no_rss(capture: Path) -> None:
    core = replace(open_core(capture), note=None)
    heap = load_heap(open_core(capture))

    account = rss_account(core, heap.process, heap)

    rows = {row.name: row for row in account.rows}
    assert account.total_bytes is None
    assert account.unexplained_bytes is None
    assert account.verdict is None
    assert {row.bytes for row in account.rows} == {None}
    free = rows["free slots in spans"].virtual_bytes
    assert free is not None
    assert 900_000 * 64 <= free < 900_000 * 64 + 2 * MIB
