"""Objects found by what their fields say, and strings by their text, in programs whose values are known."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import heldby
from heldby.analysis.drilldown.selection import Selection
from heldby.analysis.drilldown.string_search import find_text
from heldby.analysis.holding.holder_tree import build_holder_tree
from heldby.analysis.table import Kind, Table, Value
from heldby.capture import capture_process
from heldby.cli.main import cli, main
from heldby.errors import UsageError
from heldby.golang.values import column_reader
from heldby.heap.heap import Heap
from heldby.sql import object_search
from heldby.sql.object_search import find_objects
from tests.support.build import MODES, Mode, build
from tests.support.process import running, wait_until_still
from tests.support.toolchains import Toolchain, any_toolchain

pytestmark = pytest.mark.ptrace

PROGRAM = Path(__file__).parents[1] / "heap" / "programs" / "values"


@functools.cache
def captured(go: Toolchain, mode: Mode = Mode.STRIPPED) -> tuple[Heap, Mapping[str, Any]]:
    with running(build(PROGRAM, go, mode)) as program:
        wait_until_still(program.pid)
        return heldby.open(program.pid).heap, dict(program.ready)


def found(heap: Heap, kind: str, where: str | None = None, **options: Any) -> Table:
    return find_objects(heap, Selection(type=kind), where, **options)[0]


def addresses(table: Table) -> list[Value]:
    return table.columns[0].to_list()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("kind", "where", "fits"),
    [
        ("main.Scalars", "U64 = 18446744073709551615 AND I64 = -9223372036854775808 AND I8 = -128", True),
        ("main.Scalars", "I16 = -32768 AND U16 = 65535 AND I32 < -2147483647 AND U8 = 255", True),
        ("main.Scalars", "F64 = 0.1 AND F32 BETWEEN 0.0999 AND 0.1001 AND NaN IS NULL", True),
        ("main.Scalars", "Yes AND NOT No AND hidden = 42 AND Wait = 5401500000000", True),
        ("main.Scalars", "Text = 'grüße' AND Empty = '' AND length(Long) = 5000", True),
        ("main.Scalars", "Text LIKE 'x%'", False),
        ("main.Scalars", "No", False),
        (
            "main.Leading",
            'Nil IS NULL AND Twice IS NOT NULL AND "To".Count = 9 AND "To".label = \'nine\'',
            True,
        ),
        ("main.Leading", "Nil.Count = 0", False),  # behind nil there is no number
        ("main.Leading", "Slice.len = 2 AND Part.len = 2 AND Part.cap = 5 AND NilSlice.len = 0", True),
        ("main.Leading", "Deep = 6 AND Embedded.Deep = 6", True),
        (
            "main.Leading",
            "\"Any\".type = 'main.Inner' AND AnyPtr.type = '*main.Inner' AND AnyNil IS NULL",
            True,
        ),
        ("main.Leading", "Reader.type = '*strings.Reader'", True),
        ("main.Maps", '"Nil".len = 0 AND Empty.len = 0 AND Small.len = 3 AND Large.len = 1000', True),
        ("main.Channels", '"Full".len = 2 AND Ring.cap = 3 AND Nil.len = 0', True),
        ("main.Maps", "Nil IS NULL AND Empty IS NOT NULL AND Small IS NOT NULL", True),
        ("main.Maps", "Nil IS NOT NULL OR Empty IS NULL OR Small.addr IS NULL", False),
        ("main.Channels", 'Nil IS NULL AND "Empty" IS NOT NULL AND nil.LEN = 0 AND Nil.addr IS NULL', True),
        ("main.Leading", "NilSlice IS NULL AND NoItems IS NOT NULL AND NoItems.len = 0", True),
        # What is not nil is also what it was: each is asked for by itself and by its parts at once.
        (
            "main.Maps",
            "NOT (Nil IS NULL) OR (length('grüße') = 5 AND Nil . \"len\" = 0 AND Large.len = 1000)",
            True,
        ),
        (
            "main.Times",
            "UTC = '2024-02-29 12:30:45.123456' AND Zero < '0001-01-02' AND Far = '12000-01-01'",
            True,
        ),
        ("main.Times", "Wall > '2024-01-01' AND Zoned = UTC", True),
        ("main.Locks", "I64 = -3 AND Ptr.Count = 9 AND Bool", True),
        ("main.Node", "Next.Next.Name = 'loop'", True),
        ("main.Scalars", "retained_bytes > 5000 AND object_bytes = 224 AND address > 0", True),
        ("main.Scalars", "Text = 'a' -- a comment", False),
        ("main.Host", "Address = 'host.example.internal' AND retained_bytes = -5 AND fields = 7", True),
        ("main.Host", "address_2 > 4096 AND retained_bytes_2 = 56 AND object_bytes = 32", True),
    ],
)
def test_a_condition_sees_the_fields_as_go_has_them(
    go: Toolchain, mode: Mode, kind: str, where: str, fits: bool
) -> None:
    heap, ready = captured(go, mode)
    names = {"main.Node": "loop", "main.Leading": "leading"}
    name = names.get(kind, kind.removeprefix("main.").lower())

    assert addresses(found(heap, kind, where)) == ([ready[name]] if fits else [])


def test_elements_of_slices_are_values_of_their_own(go: Toolchain) -> None:
    heap, ready = captured(go)
    kind = _type_of_run(heap, ready)

    table = found(heap, kind, "Count > 1")

    first = int(ready["run"])
    assert {first + 24, first + 48} <= set(addresses(table))
    assert all(
        row["retained_bytes"] is None for row in table.rows() if row["address"] in (first + 24, first + 48)
    )
    assert {row["label"] for row in table.rows()} >= {"r2", "r3"}
    assert first not in addresses(table)


def _type_of_run(heap: Heap, ready: Mapping[str, Any]) -> str:
    """Return what the backing array is called: ``[]main.Inner``, or ``[3]main.Inner`` where its size is known."""
    vertex = int(heap.objects.find(np.array([ready["run"]], np.uint64))[0])
    return heap.naming.type_name(heap.naming.type_at(vertex))


def test_maps_are_found_by_their_length(go: Toolchain) -> None:
    heap, ready = captured(go)

    assert int(ready["header"]) in addresses(found(heap, "map[string]int", "len = 3"))
    assert addresses(found(heap, "map[int]string", "len > 999")) != []


def test_a_table_of_the_fields_comes_with_what_was_found(go: Toolchain) -> None:
    heap, ready = captured(go)

    (row,) = found(heap, "main.Scalars").rows()

    assert row["address"] == ready["scalars"]
    assert [row[name] for name in ("I8", "U32", "Yes", "Text", "hidden")] == [
        -128,
        2**32 - 1,
        True,
        "grüße",
        42,
    ]
    assert row["U64"] == 2**64 - 1
    assert row["F64"] == 0.1


def test_a_column_of_uint64_is_one_whatever_its_values_are(go: Toolchain) -> None:
    heap, _ = captured(go)

    small, large = found(heap, "main.Host"), found(heap, "main.Scalars")

    assert (small["fields"].kind, large["U64"].kind, large["Ptr"].kind) == (Kind.UNSIGNED,) * 3
    assert (large["U32"].kind, large["Level"].kind) == (Kind.NUMBER, Kind.NUMBER)


def test_a_field_called_as_a_fact_of_the_object_goes_before_it(go: Toolchain) -> None:
    heap, ready = captured(go)

    table = found(heap, "main.Host", "Address LIKE 'host.%'")

    assert list(table.rows()) == [
        *(
            {"address_2": ready["host"], "retained_bytes_2": 56, "Address": "host.example.internal"}
            | {"retained_bytes": -5, "fields": 7},
        ),
    ]
    assert table.notes == (
        "main.Host has fields called address, retained_bytes: the object's own are address_2, retained_bytes_2",
    )


def test_a_note_says_what_elements_of_slices_are(go: Toolchain) -> None:
    heap, ready = captured(go)

    notes = found(heap, _type_of_run(heap, ready)).notes

    assert "all elements up to the capacity count, those that no slice uses (mostly zero) too" in notes


def test_those_that_retain_most_come_first_and_the_rest_is_counted(go: Toolchain) -> None:
    heap, _ = captured(go)
    whole = found(heap, "main.Inner")
    assert whole["retained_bytes"].to_list() == sorted(whole["retained_bytes"].to_list(), reverse=True)
    with pytest.raises(UsageError, match="has no fields"):
        found(heap, "string")


def test_stretches_and_halves_give_what_one_piece_gives(
    go: Toolchain, monkeypatch: pytest.MonkeyPatch
) -> None:
    heap, ready = captured(go)
    kind = _type_of_run(heap, ready)
    once = addresses(found(heap, kind, "label LIKE 'r%'"))

    monkeypatch.setattr(object_search, "_STRETCH", 2)
    monkeypatch.setattr(column_reader, "MOST_TEXT", 3)

    assert len(once) == 3
    assert addresses(found(heap, kind, "label LIKE 'r%'")) == once


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("Coun > 1", "Coun"),
        ("Count >", "cannot be understood"),
        ("Count > (SELECT 1)", "query of its own"),
        ("1=1) UNION (SELECT 1", "query of its own"),
        ("1=1) LIMIT (1", "query of its own"),
        ("1=1); DROP TABLE x; --", "cannot be understood"),
        ("read_text('/etc/passwd') IS NULL", "cannot be answered"),
        ("label", "cannot be answered"),
        (" ", "the condition is empty"),
        ("-- Count > 1", "the condition is empty"),
    ],
)
def test_what_is_no_condition_is_refused(go: Toolchain, where: str, message: str) -> None:
    heap, _ = captured(go)

    with pytest.raises(UsageError, match=message) as error:
        found(heap, "main.Inner", where)

    assert error.value.next_step


def test_a_pattern_of_several_types_is_refused(go: Toolchain) -> None:
    heap, _ = captured(go)

    with pytest.raises(UsageError, match="types, which have different fields"):
        found(heap, "main...")


@pytest.mark.parametrize("mode", MODES)
def test_strings_are_found_with_who_holds_them(go: Toolchain, mode: Mode) -> None:
    heap, ready = captured(go, mode)
    tree = build_holder_tree(heap)

    (row,) = find_text(heap, tree, "grüße").rows()

    assert (row["text"], row["bytes"], row["address"], row["held_by"], row["field"], row["source"]) == (
        *("grüße", 7, ready["text"]),
        *("main.Scalars", ".Text", ready["scalars"]),
    )


def test_regular_expressions_see_each_text_by_itself(go: Toolchain) -> None:
    heap, _ = captured(go)
    tree = build_holder_tree(heap)

    # The texts of main.maps.Large: one for each number from 0 to 999. Up to 99 they are constants of strconv.
    texts = [row for row in find_text(heap, tree, "^9.9$").rows() if row["bytes"] == 3]
    assert sorted(str(row["text"]) for row in texts) == [f"9{digit}9" for digit in range(10)]
    assert find_text(heap, tree, "^x{5000}$").row_count == 1
    assert find_text(heap, tree, "^x{4999}$").row_count == 0


def test_slices_of_bytes_are_searched_too(go: Toolchain) -> None:
    heap, ready = captured(go)

    rows = list(find_text(heap, build_holder_tree(heap), '{"a":1}').rows())

    assert [(row["field"], row["source"]) for row in rows if row["held_by"] == "main.Leading"] == [
        (".Raw[*]", ready["leading"])
    ]


def test_no_regular_expression_is_plain_text_and_a_note_says_so(go: Toolchain) -> None:
    heap, _ = captured(go)

    table = find_text(heap, build_holder_tree(heap), "(grüße")

    assert table.row_count == 0
    assert "searched as plain text" in table.notes[0]


def test_what_lies_behind_a_string_in_its_slot_is_not_found(go: Toolchain) -> None:
    heap, ready = captured(go)
    pages = heap.process.runtime.image
    size = int(heap.sizes[heap.objects.find(np.array([ready["text"]], np.uint64))[0]])

    behind = pages.read(int(ready["text"]), size)[7:]

    rows = list(
        find_text(heap, build_holder_tree(heap), "grüße" + behind.decode("utf-8", "surrogateescape")).rows()
    )
    assert rows == []


def test_the_command_finds_objects_and_strings(tmp_path: Path) -> None:
    path = tmp_path / "values.core"
    with running(build(PROGRAM, any_toolchain(), Mode.DEFAULT)) as program:
        wait_until_still(program.pid)
        capture_process(program.pid, path)
        ready = dict(program.ready)

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(cli, ["find", str(path), *arguments])

    shown = run("--type", "main.Inner", "--where", "Count = 9")
    assert 'Count=9 label="nine"' in shown.stdout
    assert hex(ready["inner"]) in shown.stdout
    assert 'Address="host.example.internal" retained_bytes=-5 fields=7' in run("--type", "main.Host").stdout
    rows = json.loads(run("--string", "grüße", "--format", "json").stdout)["rows"]
    assert len(rows) == 1
    for wrong in (
        [],
        ["--holder", "main.maps"],
        ["--string", "x", "--where", "a"],
        ["--string", "x", "--where", ""],
    ):
        assert main(["find", str(path), *wrong]) == 2
