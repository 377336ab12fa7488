"""Tables: columns that know what their numbers are."""

from __future__ import annotations

import numpy as np
import pytest

from heldby.analysis.table import Kind, Table, column, number_column, text_column
from heldby.errors import InternalError


def planets() -> Table:
    return Table(
        "planets",
        (
            text_column("name", ["Earth", "Mars", None], np.array([1, 0, 2, 1])),
            column("moons", Kind.COUNT, [2, 1, 0, 2]),
            number_column("mass_bytes", Kind.BYTES, [10, None, 30, 40]),
        ),
    )


def test_rows_come_with_none_where_a_value_is_unknown() -> None:
    assert list(planets().rows()) == [
        {"name": "Mars", "moons": 2, "mass_bytes": 10},
        {"name": "Earth", "moons": 1, "mass_bytes": None},
        {"name": None, "moons": 0, "mass_bytes": 30},
        {"name": "Mars", "moons": 2, "mass_bytes": 40},
    ]


def test_chosen_rows_keep_what_is_unknown() -> None:
    chosen = planets().take(np.array([2, 1]))

    assert chosen["name"].to_list() == [None, "Earth"]
    assert chosen["mass_bytes"].to_list() == [30, None]
    assert chosen.row_count == 2


def test_the_head_says_how_many_rows_there_were() -> None:
    head = planets().head(1)

    assert (len(head), head.row_count) == (1, 4)
    assert (len(head.head(None)), head.head(1).row_count) == (1, 4)


def test_values_have_the_type_of_their_kind() -> None:
    made = {kind: column("c", kind, [1]).values.dtype for kind in Kind if kind is not Kind.TEXT}

    assert made == {
        Kind.BYTES: np.int64,
        Kind.COUNT: np.int64,
        Kind.NUMBER: np.int64,
        Kind.UNSIGNED: np.uint64,
        Kind.SHARE: np.float64,
        Kind.SECONDS: np.float64,
        Kind.REAL: np.float64,
        Kind.ADDRESS: np.uint64,
        Kind.FLAG: np.bool_,
    }


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(InternalError, match="not of one length"):
        Table("t", (column("a", Kind.COUNT, [1]), column("b", Kind.COUNT, [1, 2])))


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(InternalError, match="not of one length"):
        Table("t", (column("a", Kind.COUNT, [1]), column("a", Kind.COUNT, [1])))
