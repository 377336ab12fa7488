"""Which columns of an answer are addresses: SQL has only numbers of 64 bits for them, as for hashes and counts.

An answer's column is an address if it is made of a column of the tables that is one: by itself, under another name, or
by what keeps it one (``max(address)``, ``coalesce(source, target)``, ``address & ~4095``), not by counting or hashing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from heldby.analysis.table import Kind
from heldby.sql.catalog import CATALOG
from heldby.sql.database import nodes_of

_NAMES: Final = {
    column.name for table in CATALOG.values() for column in table.columns if column.kind is Kind.ADDRESS
}
_NO_LONGER: Final = ("hash", "md5_number", "count", "count_star", "approx_count_distinct", "bit_count")


def address_columns(tree: dict[str, Any], columns: Sequence[str]) -> list[bool]:
    """Tell which of the columns of an answer are addresses, if they are UBIGINT.

    Args:
        tree: the query, as ``json_serialize_sql`` gives it; an error for what is no SELECT.
        columns: the names of the answer's columns.
    """
    names = _with_other_names(tree)
    selected = _selected(tree)
    if len(selected) != len(columns) or any(each.get("class") == "STAR" for each in selected):
        return [name.lower() in names for name in columns]
    return [_is_address(each, names) for each in selected]


def _with_other_names(tree: dict[str, Any]) -> set[str]:
    """Return the names of columns that are addresses, those that the query gives included."""
    names = set(_NAMES)
    named = [node for node in nodes_of(tree) if node.get("alias") and "class" in node]
    for _ in named:  # a name may be made of another one
        more = {str(node["alias"]).lower() for node in named if _is_address(node, names)}
        if more <= names:
            break
        names |= more
    return names


def _selected(tree: dict[str, Any]) -> list[dict[str, Any]]:
    node: Any = (tree.get("statements") or [{}])[0].get("node") or {}
    while node.get("type") == "SET_OPERATION_NODE" and node.get("children"):
        node = node["children"][0]
    return list(node.get("select_list") or [])


def _is_address(expression: dict[str, Any], names: Collection[str]) -> bool:
    nodes = list(nodes_of(expression))
    if any(node.get("function_name") in _NO_LONGER for node in nodes):
        return False
    return any(
        str(node["column_names"][-1]).lower() in names for node in nodes if node.get("class") == "COLUMN_REF"
    )
