"""Objects whose fields fit a condition: the fields as columns, the condition DuckDB's.

A condition is SQL over the columns of one type (`heldby.golang.values.field_columns`). Only the columns that it
names are made, for a stretch of values at a time, and the connection sees nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heldby.analysis.drilldown.selection import Selection
from heldby.analysis.drilldown.value_rows import ValueRows, value_rows
from heldby.analysis.table import Column, Kind, Table, column, text_column
from heldby.errors import UsageError
from heldby.golang.values import field_columns as fields
from heldby.golang.values.column_reader import ColumnReader, read_all
from heldby.golang.values.field_columns import FieldNodes, Leaf, Node
from heldby.graph.csr import NONE
from heldby.heap.heap import Heap
from heldby.heap.programs import read_only_pages
from heldby.heap.values import values_of
from heldby.progress import QUIET, Progress
from heldby.sql.answers import free_name
from heldby.sql.database import for_people, nodes_of, sandbox, syntax_tree
from heldby.sql.statements import says_nothing

_STRETCH: Final = 1 << 19
_WORD: Final = re.compile(r"\w+")
_OWN: Final = ("address", "retained_bytes", "object_bytes")
_PARTS: Final = "heldby parts of "
_KINDS: Final = {
    fields.BOOL: Kind.FLAG,
    fields.SIGNED: Kind.NUMBER,
    fields.UNSIGNED: Kind.NUMBER,
    fields.REAL: Kind.REAL,
    fields.ADDRESS: Kind.ADDRESS,
    fields.COUNT: Kind.COUNT,
}


def find_objects(
    heap: Heap,
    selection: Selection,
    where: str | None = None,
    *,
    min_size: int | None = None,
    limit: int | None = None,
    progress: Progress = QUIET,
) -> tuple[Table, ValueRows]:
    """Return the live values that `selection` names and `where` is true of, those that retain most first.

    Elements of runs (backing arrays of slices) are values too, those that a slice does not use yet or no more among
    them; what one of them retains is not known. A type's own field called ``address`` goes before the object's, which
    is then ``address_2`` in the condition and the table; so with the other facts of the object.

    Args:
        heap: what to look at.
        selection: one type, by its name as ``heldby top`` prints it; perhaps what a holder holds of it.
        where: a condition in SQL over fields; all values without one.
        min_size: least bytes that a value must retain; what an element of a run retains is not known, so it has none.
        limit: rows; their fields are read, those of others only as far as `where` names them.
        progress: told of the values looked at.

    Returns:
        A table of address, retained bytes and fields, and the values of its rows.

    Raises:
        UsageError: the condition cannot be understood, or names no field; the message lists them.
    """
    chosen = replace(selection, with_parts=False).objects(heap)
    rows = value_rows(heap, chosen, f"--type {selection.type}")
    reader = ColumnReader(values_of(heap).memory, read_only_pages(heap.process.programs))
    retained, unknown = _retained(heap, rows)
    if where is not None:
        if says_nothing(where):
            raise UsageError(
                "the condition is empty", next_step="write it in SQL, --where 'Count > 100', or leave it out"
            )
        search = _Search(heap, rows, where, reader)
        with progress.phase("fields", total=rows.address.size) as phase:
            fitting = search.run(retained, unknown, phase.advance)
    else:
        fitting = np.arange(rows.address.size)
    if min_size:
        fitting = fitting[~unknown[fitting] & (retained[fitting] >= min_size)]
    order = np.lexsort((rows.address[fitting], -np.where(unknown, -1, retained)[fitting]))
    total = fitting.size
    fitting = fitting[order[:limit]]
    types = heap.naming.types.layouts.types
    nodes = FieldNodes(types, heap.process.runtime.layout, lambda _: False).of(rows.type)
    own_names = _own_names(nodes)
    columns = [
        column(own_names["address"], Kind.ADDRESS, rows.address[fitting]),
        column(own_names["retained_bytes"], Kind.BYTES, retained[fitting], unknown=unknown[fitting]),
    ]
    table = _with_fields(columns, nodes, rows.address[fitting], reader)
    shown = ValueRows(rows.type, rows.address[fitting], rows.object[fitting], rows.alone[fitting])
    return _counted(table, total, rows, types.display_name(rows.type), own_names), shown


def _counted(table: Table, total: int, rows: ValueRows, name: str, own_names: dict[str, str]) -> Table:
    title = f"{total:,} of {rows.address.size:,} values of {name}"
    notes = []
    renamed = {own: given for own, given in own_names.items() if own != given}
    if renamed:
        notes.append(
            f"{name} has fields called {', '.join(renamed)}: the object's own are {', '.join(renamed.values())}"
        )
    if not bool(rows.alone.all()):
        notes += [
            "what a single element of a slice retains is not known",
            "all elements up to the capacity count, those that no slice uses (mostly zero) too",
        ]
    return replace(table, title=title, notes=tuple(notes), total_rows=total if total > len(table) else None)


def _retained(heap: Heap, rows: ValueRows) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    numbers = heap.tree.number[rows.object]
    unknown = (numbers == np.uint32(NONE)) | ~rows.alone
    return heap.retained_bytes[np.where(unknown, 0, numbers)], unknown


class _Search:
    """One condition: what it names, as SQL over columns."""

    def __init__(self, heap: Heap, rows: ValueRows, where: str, reader: ColumnReader) -> None:
        self._rows = rows
        self._reader = reader
        self._heap = heap
        words = {word.lower() for word in _WORD.findall(where)}
        types = heap.naming.types.layouts.types
        make = FieldNodes(types, heap.process.runtime.layout, lambda name: name.lower() in words)
        self._all = make.of(rows.type)
        self._connection = sandbox()
        self._leaves: list[Leaf] = []
        self._own_names = _own_names(self._all)
        self._own = {own: given for own, given in self._own_names.items() if given in words}
        named = [node for node in self._all if node.name.lower() in words]
        parts = [f'{value} AS "{_quoted(name)}"' for name, value in self._values(named, words)]
        facts = [f"{own} AS {given}" for own, given in self._own.items()]
        inner = ", ".join(['"heldby row"', *facts, *parts])
        # A line break ends a comment in the condition.
        query = f'SELECT "heldby row" FROM (SELECT {inner} FROM columns) AS fields WHERE (\n{where}\n)'  # noqa: S608
        tree = self._tree(query, where)
        _refuse_more_than_a_condition(tree)
        self._query = self._with_parts(query, tree)

    def _tree(self, query: str, where: str) -> dict[str, Any]:
        with for_people():
            tree = syntax_tree(self._connection, query)
        if tree.get("error"):
            raise UsageError(
                f"the condition cannot be understood: {where}",
                cause=str(tree.get("error_message", "")).partition("\n")[0] or None,
                next_step="write it in SQL: Count > 100 AND Name LIKE 'x%'; a field that is a word of SQL in "
                'double quotes: "at" > 1',
            )
        return tree

    def _with_parts(self, query: str, tree: dict[str, Any]) -> str:
        """Return `query` with the parts of maps, channels and slices read where they are known for nil ones too.

        Nothing in SQL is NULL and has parts; so ``M`` is NULL for a nil map, and ``M.len`` becomes that of `_PARTS` M.
        """
        text = query.encode()  # DuckDB counts bytes
        columns = [node for node in nodes_of(tree) if node.get("class") == "COLUMN_REF"]
        for node in sorted(columns, key=lambda node: -int(node["query_location"])):
            names = list(node["column_names"])
            below = self._all
            for at, name in enumerate(names[:-1]):
                field = next((each for each in below if each.name.lower() == name.lower()), None)
                if field is None:
                    break
                if field.itself is not None:
                    names[at] = _PARTS + field.name
                below = field.parts
            if names != node["column_names"]:
                first = int(node["query_location"])
                path = ".".join(f'"{_quoted(name)}"' for name in names)
                text = text[:first] + path.encode() + text[first + int(node["query_location_length"]) :]
        return text.decode()

    def _values(self, nodes: list[Node], words: set[str]) -> Iterator[tuple[str, str]]:
        """Yield the names of nodes with the SQL of their values."""
        for node in nodes:
            yield node.name, self._sql(node, words)
            if node.itself is not None:
                yield _PARTS + node.name, self._sql(replace(node, itself=None), words)

    def _sql(self, node: Node, words: set[str]) -> str:
        """Return the SQL of a node's value, with the parts that the condition names."""
        if node.leaf is not None:
            return self._column(node.leaf)
        parts = [part for part in node.parts if part.name.lower() in words] or node.parts[-1:]
        packed = ", ".join(f'"{_quoted(name)}" := {value}' for name, value in self._values(parts, words))
        value = f"struct_pack({packed})" if packed else "NULL"
        known = node.nil or node.itself
        return value if known is None else f"CASE WHEN {self._column(known)} IS NOT NULL THEN {value} END"

    def _column(self, leaf: Leaf) -> str:
        if leaf not in self._leaves:
            self._leaves.append(leaf)
        return f"c{self._leaves.index(leaf)}"

    def run(self, retained: NDArray[np.int64], unknown: NDArray[np.bool_], advance: Any) -> NDArray[np.int64]:
        """Return the rows that the condition is true of. O(values × columns)."""
        own = {
            "address": lambda part: self._rows.address[part],
            "retained_bytes": lambda part: np.ma.masked_array(retained[part], mask=unknown[part]),
            "object_bytes": lambda part: self._heap.sizes_of(self._rows.object[part]),
        }
        found = []
        for low in range(0, self._rows.address.size, _STRETCH):
            part = slice(low, low + _STRETCH)
            addrs = self._rows.address[part]
            table: dict[str, Any] = {"heldby row": np.arange(low, low + addrs.size, dtype=np.int64)}
            table |= {name: own[name](part) for name in self._own}
            for number, leaf in enumerate(self._leaves):
                values, hidden = read_all(partial(self._reader.read, leaf), addrs)
                table[f"c{number}"] = _for_duckdb(values, hidden)
            self._connection.register("columns", table)
            try:
                with for_people():
                    answer = self._connection.execute(self._query).fetchnumpy()
            except UsageError as error:
                raise self._explained(error) from error
            found.append(np.sort(np.ma.getdata(answer["heldby row"])))
            advance(addrs.size)
        return np.concatenate(found) if found else np.zeros(0, np.int64)

    def _explained(self, error: UsageError) -> UsageError:
        names = list(_paths(self._all, ""))
        shown = ", ".join(names[:40]) + (", ..." if len(names) > 40 else "")
        own = ", ".join(self._own_names.values())
        return UsageError(
            error.message.replace("the query", "the condition"),
            next_step=f"it can ask for {shown}, {own}; what is behind a pointer by its name too",
        )


def _refuse_more_than_a_condition(tree: dict[str, Any]) -> None:
    # One SELECT with the one that makes the columns inside, and nothing behind the condition.
    nodes = list(nodes_of(tree))
    selects = [str(node.get("type")) for node in nodes if str(node.get("type")).endswith("_NODE")]
    queries = any(node.get("class") == "SUBQUERY" for node in nodes)
    more = any(node.get("modifiers") or node.get("group_expressions") for node in nodes)
    if selects != ["SELECT_NODE"] * 2 or queries or more:
        raise UsageError(
            "a condition cannot hold a query of its own",
            next_step="ask that with: heldby sql TARGET",
        )


def _paths(nodes: list[Node], above: str) -> Iterator[str]:
    for node in nodes:
        if node.leaf is not None:
            yield above + node.name
        else:
            yield from _paths(node.parts, f"{above}{node.name}.")


def _quoted(name: str) -> str:
    return name.replace('"', '""')


def _for_duckdb(values: NDArray[Any], unknown: NDArray[np.bool_]) -> NDArray[Any]:
    if values.dtype == object:
        values[unknown] = None
        return values
    return np.ma.masked_array(values, mask=unknown) if unknown.any() else values


def _own_names(nodes: list[Node]) -> dict[str, str]:
    """Return what the facts of `_OWN` are called beside fields: as the second of two fields that SQL takes for one."""
    taken = {node.name.lower() for node in nodes}
    names = {}
    for own in _OWN:
        names[own] = free_name(own, taken)
    return names


def _with_fields(
    columns: list[Column], nodes: list[Node], addrs: NDArray[np.uint64], reader: ColumnReader
) -> Table:
    """Return a table of `columns` and of the fields of the values at `addrs`."""
    first = len(columns)
    taken = {each.name for each in columns}
    for name, leaf in _leaves(nodes, ""):
        if name.lower() in taken:
            continue
        taken.add(name.lower())
        values, hidden = read_all(partial(reader.read, leaf), addrs)
        columns.append(_shown(name, leaf, values, hidden))
    return Table("find", tuple(columns), hidden=tuple(each.name for each in columns[first:]))


def _leaves(nodes: list[Node], above: str) -> Iterator[tuple[str, Leaf]]:
    for node in nodes:
        if node.leaf is not None:
            yield above + node.name, node.leaf
        else:
            yield from _leaves(node.parts, f"{above}{node.name}.")


def _shown(name: str, leaf: Leaf, values: NDArray[Any], unknown: NDArray[np.bool_]) -> Column:
    kind = _KINDS.get(leaf.what)
    if leaf.what == fields.UNSIGNED and leaf.size == 8:
        kind = Kind.UNSIGNED  # whatever the values are: a script wants one type
    if kind is not None:
        return column(name, kind, values, unknown=unknown)
    if leaf.what == fields.TIME:
        values = np.char.add(np.datetime_as_string(values, unit="us"), "Z").astype(object)
    texts = values.astype(object)
    texts[unknown] = None
    return text_column(name, texts.tolist())
