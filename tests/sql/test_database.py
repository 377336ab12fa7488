"""SQL over a heap with known contents: what it counts, what it refuses, and what it does not compute."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from heldby.analysis.answering import answer_of
from heldby.api import open_kept
from heldby.errors import HeldbyError, UsageError
from heldby.heap import Heap
from heldby.sql.answers import ask
from heldby.sql.catalog import CATALOG
from heldby.sql.database import Database
from heldby.sql.schema import SQL_TYPES, ColumnOf
from tests.support.build import Mode

pytestmark = pytest.mark.ptrace

Captures = Callable[[str, Mode], Path]


@pytest.fixture(scope="module")
def heap(captures: Captures) -> Heap:
    return open_kept(captures("texts", Mode.DEFAULT), cache=False).heap


@pytest.fixture(scope="module")
def database(heap: Heap) -> Database:
    return Database(heap)


def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in ask(database, query).rows()]


@pytest.mark.parametrize("name", CATALOG)
def test_a_table_is_what_its_schema_says(database: Database, name: str) -> None:
    said = [(column.name, SQL_TYPES[column.kind]) for column in CATALOG[name].columns]
    found = [(row[0], row[1]) for row in rows(database, f"DESCRIBE {name}")]
    everything = database.relation(f"SELECT * FROM {name}")

    assert found == said
    assert [
        (column, str(kind)) for column, kind in zip(everything.columns, everything.types, strict=True)
    ] == said


def test_objects_are_counted_and_sized_as_by_the_analysis(database: Database, heap: Heap) -> None:
    totals = answer_of(heap).heap
    query = "SELECT count(*), sum(bytes), count(*) FILTER (live), sum(bytes) FILTER (live) FROM objects"

    assert rows(database, query) == [
        (totals.objects, totals.object_bytes, totals.live_objects, totals.live_bytes)
    ]


def test_every_live_byte_belongs_to_one_holder(database: Database, heap: Heap) -> None:
    found = rows(
        database,
        "SELECT h.path, h.retained_bytes, sum(o.bytes) FROM holders h JOIN objects o ON o.holder_row = h.holder"
        " WHERE o.holder = h.path GROUP BY ALL ORDER BY 2 DESC, 1",
    )
    expected = sorted(
        ((h.path, h.retained_bytes, h.retained_bytes) for h in answer_of(heap).holders),
        key=lambda row: (-row[1], row[0]),
    )

    assert found == expected
    assert len(found) >= 4
    assert rows(database, "SELECT count(*) FROM objects WHERE (holder IS NULL) = live") == [(0,)]
    assert rows(database, "SELECT count(*) FROM objects WHERE (holder_row IS NULL) = live") == [(0,)]


def test_retained_bytes_of_roots_and_what_nothing_dominates_make_the_live_heap(database: Database) -> None:
    query = (
        "SELECT (SELECT sum(bytes) FROM objects WHERE live),"
        " (SELECT sum(retained_bytes) FROM dominators WHERE dominator IS NULL)"
    )
    [(live, tops)] = rows(database, query)

    assert live == tops


def test_the_strings_of_the_program_are_found_with_their_texts(database: Database) -> None:
    # From main.go: 1,000 words of 48 bytes; 100 parts of 20 bytes, each in a document of 4,096; 500 times one
    # text of 300; 40 labels with names of 16 and values of 100; a variable with 1,000. Constants lie elsewhere.
    query = """
        SELECT s.bytes, count(*), count(DISTINCT s.object), count(DISTINCT s.text), min(o.bytes)
        FROM strings s JOIN objects o ON o.address = s.object JOIN objects p ON p.address = s.source
        WHERE p.path IN ('main.words[*]', 'main.fragments[*]', 'main.shared[*]', 'main.labels[*]',
                         'main.words', 'main.fragments', 'main.shared', 'main.labels')
        GROUP BY ALL ORDER BY ALL"""

    assert rows(database, query) == [
        (16, 40, 40, 40, 16),
        (20, 100, 100, 1, 4096),
        (48, 1000, 1000, 1000, 48),
        (100, 40, 40, 40, 112),
        (300, 500, 1, 1, 320),
    ]


def test_a_string_in_a_variable_says_which_and_what(database: Database) -> None:
    [(name, size, text)] = rows(
        database,
        "SELECT r.name, s.bytes, s.text FROM strings s JOIN roots r USING (root) WHERE r.name = 'main.text'",
    )

    assert (name, size, len(text)) == ("main.text", 1000, 1000)
    assert text.startswith("30000000")  # park.Text writes its number in front, lowest digit first


def test_fields_say_what_a_struct_is_made_of(database: Database) -> None:
    query = "SELECT field, field_type, \"offset\", bytes, embedded FROM fields WHERE type = 'main.Label' ORDER BY 3"

    assert rows(database, query) == [("Name", "string", 0, 16, False), ("Value", "string", 16, 16, False)]


def test_edges_name_the_field_that_they_lie_in(database: Database) -> None:
    query = """
        SELECT e.field, count(*) FROM edges e JOIN objects o ON o.address = e.source
        WHERE o.type = '[]main.Label' GROUP BY ALL ORDER BY ALL"""

    assert rows(database, query) == [("[*].Name", 40), ("[*].Value", 40)] or rows(database, query) == [
        (".Name", 40),
        (".Value", 40),
    ]


def test_edges_are_the_references_of_the_graph_that_the_collector_sees(
    database: Database, heap: Heap
) -> None:
    [(count, deferred)] = rows(database, "SELECT count(*), count(*) FILTER (deferred) FROM edges")
    groups = int((heap.roots.group != 0xFFFFFFFF).sum())

    assert count == heap.graph.edge_count - len(heap.roots)  # every root hangs on node 0 or on its group
    assert groups > 0
    assert deferred == heap.deferred.edges.size


def test_the_main_goroutine_is_there_with_what_it_waits_for(database: Database) -> None:
    query = "SELECT goroutine, state, function, parent, stack_bytes > 0 FROM goroutines WHERE goroutine = 1"

    assert rows(database, query) == [(1, "syscall", "runtime.main", 0, True)]  # it reads its standard input


def test_spans_hold_all_objects(database: Database, heap: Heap) -> None:
    [(objects, free)] = rows(database, "SELECT sum(objects), min(slots - objects) FROM spans")

    assert objects == heap.object_count
    assert free >= 0


def made(database: Database) -> set[str]:
    return {f"{table}.{column}" for table, columns in database._made.items() for column in columns}


@pytest.mark.parametrize(
    ("query", "columns"),
    [
        ("SELECT count(*) FROM objects", {"objects.address"}),
        ("SELECT sum(bytes) FROM objects WHERE live", {"objects.bytes", "objects.live"}),
        ("SELECT 1", set()),
        ("DESCRIBE strings", set()),
        ("SHOW TABLES", set()),
        ("SELECT min(bytes * 2) FROM spans", {"spans.bytes"}),
        ("SELECT * FROM holders", {f"holders.{column.name}" for column in CATALOG["holders"].columns}),
        ("SUMMARIZE spans", {f"spans.{column.name}" for column in CATALOG["spans"].columns}),
    ],
)
def test_only_the_columns_that_a_query_names_are_made(heap: Heap, query: str, columns: set[str]) -> None:
    database = Database(heap)
    ask(database, query)

    assert made(database) == columns


def test_columns_are_made_once(heap: Heap) -> None:
    database = Database(heap)
    plain, calls = ColumnOf.of, []

    def count(self: ColumnOf, facts: Any) -> Any:
        calls.append(self.name)
        return plain(self, facts)

    with mock.patch.object(ColumnOf, "of", count):
        for _ in range(3):
            ask(database, "SELECT type, sum(bytes) FROM objects GROUP BY ALL")

    assert sorted(calls) == ["bytes", "type"]


def test_a_column_that_no_word_of_the_query_names_is_made_when_it_is_read(heap: Heap) -> None:
    database = Database(heap)

    assert rows(database, "SELECT min(#2) FROM spans") == [(8192,)]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT nosuch FROM objects", "nosuch"),
        ("SELECT * FROM object", 'Did you mean "objects"'),
        ("SELEC 1", "syntax error"),
        ("", "there is no query"),
        ("SELECT 1; SELECT 2", "2 queries"),
        ("SELECT 'x'::INT", "Could not convert"),
    ],
)
def test_a_wrong_query_is_told_in_words(database: Database, query: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        ask(database, query)

    error = caught.value
    assert words in f"{error.message} {error.cause}"
    assert "\n" not in error.message
    assert error.exit_code == 2


@pytest.mark.parametrize(
    "query",
    [
        "CREATE TABLE t AS SELECT 1",
        "INSERT INTO objects SELECT * FROM objects",
        "DROP VIEW objects",
        "COPY objects TO '/tmp/stolen.csv'",
        "ATTACH '/tmp/stolen.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "PRAGMA database_list",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_parquet('/etc/passwd')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM secret_of_python",
    ],
)
def test_a_query_reads_the_tables_and_nothing_else(database: Database, query: str) -> None:
    secret_of_python = {"a": np.arange(3)}

    with pytest.raises(HeldbyError):
        ask(database, query)

    assert len(secret_of_python) == 1


def test_numbers_keep_their_units_and_their_exactness(database: Database) -> None:
    table = ask(
        database, "SELECT sum(bytes), count(*), max(address), avg(bytes), 9007199254740993 AS x FROM objects"
    )

    assert [str(column.kind) for column in table.columns] == ["bytes", "count", "address", "real", "number"]
    assert next(iter(table.rows()))["x"] == 9007199254740993


@pytest.mark.parametrize(
    ("number", "value"),
    [
        ("9223372036854775807::HUGEINT", 9223372036854775807),
        ("(-9223372036854775808)::HUGEINT", -9223372036854775808),
        ("5::UHUGEINT", 5),
        ("NULL::HUGEINT", None),
        ("9223372036854775808", "9223372036854775808"),  # beyond 64 bits the digits
        ("18446744073709551615::HUGEINT", "18446744073709551615"),
        ("-170141183460469231731687303715884105727", "-170141183460469231731687303715884105727"),
        ("340282366920938463463374607431768211455::UHUGEINT", "340282366920938463463374607431768211455"),
        ("18446744073709551615::UBIGINT", 18446744073709551615),
    ],
)
def test_a_whole_number_is_exact_however_large(database: Database, number: str, value: object) -> None:
    assert rows(database, f"SELECT {number}, 9007199254740993::HUGEINT") == [(value, 9007199254740993)]


def test_a_sum_of_addresses_is_exact(database: Database, heap: Heap) -> None:
    total = sum(heap.objects.addr[1:].tolist())

    # A million times as much is beyond 64 bits at any place that a heap can have.
    [(found, bytes_)] = rows(database, "SELECT sum(address) * 1000000, sum(bytes) FROM objects")
    assert (int(found), type(found), type(bytes_)) == (total * 1_000_000, str, int)


def test_a_wrong_cast_of_the_query_is_told_all_the_same(database: Database) -> None:
    with pytest.raises(UsageError, match="out of range"):
        ask(database, "SELECT 18446744073709551615::HUGEINT::BIGINT, 18446744073709551615::HUGEINT")


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ("o.address", "address"),
        ("address AS a", "address"),
        ("max(o.address)", "address"),
        ("coalesce(span, address) AS n", "address"),
        ("address + 8", "address"),
        ("first_one", "address"),
        ("count(*)::UBIGINT", "unsigned"),
        ("hash(any_value(address))", "unsigned"),
        ("7::UBIGINT AS address", "unsigned"),
        ("count(address)::UBIGINT AS span", "unsigned"),
        ("address > 5", "flag"),
    ],
)
def test_only_what_is_made_of_addresses_is_one(database: Database, column: str, kind: str) -> None:
    query = f"SELECT {column} FROM (SELECT *, address AS first_one FROM objects) AS o"
    if "count" not in column and "max" not in column and "any" not in column:
        query += " LIMIT 1"

    assert [str(each.kind) for each in ask(database, query).columns] == [kind]


def test_addresses_are_known_behind_a_star_and_a_union(database: Database) -> None:
    table = ask(
        database,
        "WITH t AS (SELECT address AS a, hash(type) AS h FROM objects) SELECT *, a AS b FROM t LIMIT 1",
    )
    both = ask(database, "SELECT address AS a FROM objects UNION ALL SELECT 7::UBIGINT LIMIT 1")

    assert [str(each.kind) for each in table.columns] == ["address", "unsigned", "address"]
    assert [str(each.kind) for each in both.columns] == ["address"]


def test_columns_stand_in_the_order_of_the_table_whatever_was_asked_before(heap: Heap) -> None:
    database = Database(heap)
    ask(database, "SELECT min(samples), sum(bytes) FROM held")
    ask(database, "SELECT sum(bytes), any_value(type) FROM objects")

    for name in ("objects", "held"):
        said = [column.name for column in CATALOG[name].columns]
        assert [column.name for column in ask(database, f"SELECT * FROM {name}").columns] == said


def test_threads_wait_for_each_other(heap: Heap) -> None:
    database = Database(heap)
    queries = [f"SELECT count(*), count({name}) FROM edges" for name in ("target", "source", "root", "field")]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda query: rows(database, query)[0][0], queries * 3))

    assert set(found) == {heap.graph.edge_count - len(heap.roots)}


def test_a_limit_says_how_many_rows_there_are(database: Database) -> None:
    table = ask(database, "SELECT * FROM range(10)", limit=4)

    assert (len(table), table.row_count) == (4, 10)
    assert ask(database, "SELECT * FROM range(4)", limit=4).row_count == 4


def test_equal_names_of_columns_are_told_apart(database: Database) -> None:
    assert [column.name for column in ask(database, "SELECT 1 AS a, 2 AS a").columns] == ["a", "a_2"]
    columns = ask(database, "SELECT 1 AS a, 2 AS A, 3 AS a_2").columns
    assert [column.name for column in columns] == ["a", "A_2", "a_2_2"]  # SQL does not tell a from A


def test_other_types_are_texts(database: Database) -> None:
    query = "SELECT [1, 2], {'x': 1}, DATE '2026-11-22', NULL, 'caf\u00e9'"

    assert rows(database, query) == [("[1, 2]", "{'x': 1}", "2026-11-22", None, "café")]


def test_what_lies_in_registers_or_nowhere_has_no_length(database: Database) -> None:
    assert rows(database, "SELECT count(*) FROM strings WHERE bytes > 1 << 30") == [(0,)]
    assert rows(database, "SELECT count(*) FROM strings WHERE bytes IS NULL AND text IS NOT NULL") == [(0,)]


def test_an_address_prints_as_the_page_says(database: Database) -> None:
    [(text,)] = rows(database, "SELECT printf('0x%x', address) FROM objects ORDER BY address LIMIT 1")

    assert re.fullmatch(r"0xc[0-9a-f]{9}|0x[0-9a-f]+", text)
