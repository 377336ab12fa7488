"""Who holds it, in the space there is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from heldby.analysis.answer import StoredBy
from heldby.render.first_screen import first_screen
from heldby.render.holder_lines import holder_lines
from heldby.render.plain_text import without_folders
from tests.support.answers import story

OWNERS = (
    "412 goroutines in github.com/nats-io/nats-server/v2/server.(*Server).AcceptLoop",
    "global main.s",
    "3 timers",
    "server.Account.sl.root(.nodes)*[*].psubs[key]",
)


@pytest.mark.parametrize(
    ("full", "short"),
    [
        ("github.com/nats-io/nats-server/v2/server.(*Server).Run", "server.(*Server).Run"),
        ("412 goroutines in a.b/c.d", "412 goroutines in c.d"),
        ("github.com/nats-io/nats%2ego.(*Conn).readLoop", "nats%2ego.(*Conn).readLoop"),
        ("main.main", "main.main"),
        ("encoding/json.Unmarshal", "json.Unmarshal"),
        ("global main.s", "global main.s"),
    ],
)
def test_a_package_is_called_by_its_last_folder(full: str, short: str) -> None:
    assert without_folders(full) == short


def held_by_line(names: tuple[str, ...], width: int) -> str:
    answer = replace(story(), holders=(replace(story().holders[2], held_by=names),))
    lines = [line.plain.strip() for line in holder_lines(answer, width, 1)]
    return next(line for line in lines if line.startswith("held by"))


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (60, "held by 412 gorouti….AcceptLoop and 3 more"),
        (80, "held by 412 goroutines…r).AcceptLoop, global main.s and 2 more"),
        (120, "held by 412 goroutines in server.(*Server).AcceptLoop, global main.s, 3 timers and 1 more"),
        (200, "held by 412 goroutines in server.(*Server).AcceptLoop, global main.s, 3 timers, " + OWNERS[3]),
    ],
)
def test_owners_share_the_line_and_the_rest_is_counted(width: int, shown: str) -> None:
    assert held_by_line(OWNERS, width) == shown


@given(st.lists(st.text(min_size=1, max_size=60), min_size=1, max_size=9), st.integers(60, 140))
def test_no_list_of_owners_is_wider_than_the_screen(names: list[str], width: int) -> None:
    answer = replace(story(), holders=(replace(story().holders[2], held_by=tuple(names)),))

    lines = first_screen(answer, width=width).plain.split("\n")

    assert max(map(cell_len, lines)) <= width


def test_one_object_is_not_counted_in_the_plural() -> None:
    holder = replace(story().holders[1], retained_objects=1, objects_at_end=1)
    answer = replace(story(), holders=(holder,))

    text = first_screen(answer).plain

    assert "[]byte with 1 object\n" in text


def stored_by_line(statements: list[tuple[str | None, str]], width: int) -> str:
    stored = tuple(
        StoredBy(
            place="main.x[*]",
            func="example.com/a/b.(*T).Put",
            file="/src/b/put.go",
            line=7 + number,
            statement=statement,
            certainty=certainty,
            evidence="",
        )
        for number, (statement, certainty) in enumerate(statements)
    )
    answer = replace(story(), holders=(replace(story().holders[0], stored_by=stored),))
    return next(
        line.strip() for line in first_screen(answer, width=width).plain.split("\n") if "stored by" in line
    )


@pytest.mark.parametrize(
    ("statements", "shown"),
    [
        ([("t.x[k] = v", "certain")], "stored by  put.go:7  t.x[k] = v"),
        ([(None, "likely")], "stored by  put.go:7  b.(*T).Put"),
        (
            [("t.x[k] = v", "possible"), (None, "possible")],
            "perhaps stored by  put.go:7  t.x[k] = v and 1 more",
        ),
        ([("t.x[\x1b[31mk] = v", "certain")], r"stored by  put.go:7  t.x[\x1b[31mk] = v"),
    ],
)
def test_the_statement_that_stores_has_its_place_and_how_sure_it_is(
    statements: list[tuple[str | None, str]], shown: str
) -> None:
    assert stored_by_line(statements, 100) == shown


def test_a_long_statement_is_cut_to_the_screen() -> None:
    line = stored_by_line([("t.x[k] = " + "v" * 300, "certain")], 80)

    assert line.startswith("stored by  put.go:7  t.x[k] = vvv")
    assert len(line) == 80 - 18
