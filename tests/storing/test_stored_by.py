"""Which statement keeps what each holder holds: one program, a store of every kind, with and without symbols."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from heldby.analysis.answer import Holder
from heldby.analysis.statements.source_statements import with_source
from heldby.session import Session
from heldby.source import SourceLines
from tests.storing.conftest import PROGRAM, Captured, captured, captured_on_arm64
from tests.support.arm64 import QEMU, WITHOUT_QEMU
from tests.support.build import Mode
from tests.support.toolchains import RELEASES

pytestmark = pytest.mark.ptrace

# The holder's path begins with the name; what the code of its statement proves.
CERTAINTY = {
    "main.structs.entries": "likely",
    "main.appended.Seen": "likely",
    "main.helped.items": "likely",
    "main.generic.m": "certain",
    "main.queued.jobs": "likely",
    "main.byNumber": "certain",
    "main.lines": "certain",
    "main.events": "certain",
    "main.linked": "likely",
    "main.pair.left": "likely",
    "main.pair.right": "likely",
    "main.synced": "certain",
    "main.broad.parts": "likely",
    "main.called.names": "likely",
}
STATEMENTS = {
    "main.structs.entries": "r.entries[i] = entry{name: text(i)}",
    "main.appended.Seen": "h.Seen = append(h.Seen, text(i))",
    "main.helped.items": "s.items = append(s.items, it)",
    "main.generic.m": "c.m[k] = v",
    "main.queued.jobs": "q.jobs <- &item{i, text(i)}",
    "main.byNumber": "byNumber[int64(i)] = text(i)",
    "main.lines": "lines = append(lines, text(i))",
    "main.events": "events <- text(i)",
    "main.linked": "linked.PushBack(text(i))",
    "main.synced": "synced.Store(i, text(i))",
    "main.pair.left": "t.left[key] = &row{text(i)}",
    "main.pair.right": "t.right[key] = &row{text(i)}",
    "main.broad.parts": "w.parts = append(w.parts, &item{i, text(i)})",
    "main.called.names": "r.names = with(r.names, &row{text(i)})",
}
FILLED = "t.rows[i] = &row{text(i)}"


def holders(of: Captured, name: str) -> list[Holder]:
    found = [holder for holder in of.answer.holders if holder.path.startswith(name)]
    assert found, [holder.path for holder in of.answer.holders]
    return found


@pytest.mark.parametrize("name", CERTAINTY)
def test_the_statement_that_keeps_a_holder_is_found(
    with_debug_information: Captured, expected: dict[str, int], name: str
) -> None:
    for holder in holders(with_debug_information, name):
        assert [(each.line, each.certainty) for each in holder.stored_by] == [
            (expected[name], CERTAINTY[name])
        ]
        assert holder.stored_by[0].file is not None
        assert holder.stored_by[0].file.endswith("stores/main.go")


def test_a_captured_variable_is_told_from_a_field_whose_type_the_code_knows(
    with_debug_information: Captured, expected: dict[str, int]
) -> None:
    """``o.Names`` is a []string at offset 0 too; that it is one of an `other`, the receiver says."""
    holder = next(each for each in with_debug_information.answer.holders if "told" in each.path)

    assert [(each.line, each.certainty) for each in holder.stored_by] == [
        (expected["main.remember"], "likely")
    ]


def test_a_captured_variable_has_two_that_fit_where_types_have_no_descriptors_and_says_so(
    stripped: Captured, expected: dict[str, int]
) -> None:
    """`other` is static and never meets an interface: without debug information nothing knows it."""
    holder = next(each for each in stripped.answer.holders if "captured" in each.path)

    assert {each.certainty for each in holder.stored_by} == {"possible"}
    assert expected["main.remember"] in [each.line for each in holder.stored_by]
    assert len(holder.stored_by) == 2


def test_a_stripped_program_tells_the_same_and_never_another_line(
    stripped: Captured, expected: dict[str, int]
) -> None:
    """Without symbols a struct that lies in no heap object has no type any more, so its fields are not told apart."""
    found = {
        each.line: each.certainty
        for holder in stripped.answer.holders
        for each in holder.stored_by
        if each.certainty != "possible"
    }

    untold = ("appended.Seen", "helped.items", "queued.jobs", "remember", "pair.left", "pair.right")
    unknown = {expected[f"main.{name}"] for name in untold}
    assert set(found) == set(expected.values()) - unknown
    assert found[expected["main.structs.entries"]] == "likely"
    assert {found[expected[name]] for name in ("main.byNumber", "main.lines", "main.synced")} == {"certain"}


def test_an_append_elsewhere_is_not_blamed_for_a_slice_that_was_made_and_filled(
    with_debug_information: Captured, stripped: Captured
) -> None:
    for holder in holders(with_debug_information, "main.filled.rows"):
        assert holder.kept_in[0].type == "[]*main.row"
        assert holder.stored_by == ()
    for each_of in (with_debug_information, stripped):
        named = {each.func for holder in each_of.answer.holders for each in holder.stored_by}
        assert "main.longest" not in named


def test_a_function_is_named_even_where_it_is_inlined(with_debug_information: Captured) -> None:
    found = {name: holders(with_debug_information, name)[0].stored_by[0].func for name in CERTAINTY}

    assert found["main.helped.items"] == "main.(*shelf).push"
    assert found["main.appended.Seen"] == "main.(*history).add"
    assert found["main.linked"] == "main.work"
    assert found["main.generic.m"].startswith("main.(*cache[")


def test_the_text_of_the_statement_is_read_where_it_was_built(built_here: Captured) -> None:
    answer = with_source(built_here.answer, SourceLines())

    found = {
        name: next(each for each in answer.holders if each.path.startswith(name)).stored_by[0].statement
        for name in STATEMENTS
    }
    assert found == STATEMENTS


def test_a_text_that_stores_nothing_of_that_name_is_not_shown(
    with_debug_information: Captured, tmp_path: Path
) -> None:
    source = (PROGRAM / "main.go").read_text()
    folder = tmp_path / "src" / "stores"
    folder.mkdir(parents=True)
    (folder / "main.go").write_text("// one line more\n" + source)  # another version: every line has moved

    answer = with_source(with_debug_information.answer, SourceLines(tmp_path))

    texts = {each.statement for holder in answer.holders for each in holder.stored_by}
    assert texts <= {None, *STATEMENTS.values(), FILLED}
    shown = next(each for each in answer.holders if each.path == "main.structs.entries").stored_by[0]
    assert (shown.statement, shown.func) == (None, "main.(*registry).add")


def test_the_containers_on_the_way_are_named_with_their_fields(with_debug_information: Captured) -> None:
    kept = {holder.path: holder.kept_in for holder in with_debug_information.answer.holders}

    seen = kept["main.appended.Seen[*]"][0]
    assert (seen.container, seen.type, seen.owner, seen.package, seen.field) == (
        "slice",
        "[]string",
        "main.history",
        "main",
        "Seen",
    )
    events = next(places for path, places in kept.items() if path.startswith("main.events"))
    assert [(place.container, place.type, place.field) for place in events] == [
        ("channel", "chan string", "events")
    ]


def moved(tmp_path: Path) -> SourceLines:
    """The source as it lies somewhere else."""
    folder = tmp_path / "checkout" / "stores"
    folder.mkdir(parents=True)
    (folder / "main.go").write_text((PROGRAM / "main.go").read_text())
    return SourceLines(tmp_path)


def test_what_code_and_source_both_name_is_certain(
    with_debug_information: Captured, tmp_path: Path, expected: dict[str, int]
) -> None:
    """The source tells the closure's variable, too, from a field that the code could not tell it from."""
    answer = with_source(with_debug_information.answer, moved(tmp_path))

    for name in (*CERTAINTY, "main.remember"):
        stored = next(each for each in answer.holders if each.path.startswith(name)).stored_by
        assert [(each.line, each.certainty) for each in stored] == [(expected[name], "certain")], name
    assert {
        name: next(each for each in answer.holders if each.path.startswith(name)).stored_by[0].statement
        for name in STATEMENTS
    } == STATEMENTS


def test_what_only_the_source_names_is_likely_if_it_is_alone(
    with_debug_information: Captured, tmp_path: Path, expected: dict[str, int]
) -> None:
    answer = with_debug_information.answer
    untold = replace(answer, holders=tuple(replace(each, stored_by=()) for each in answer.holders))

    told = with_source(untold, moved(tmp_path))

    for name in (
        "main.structs.entries",
        "main.appended.Seen",
        "main.helped.items",
        "main.byNumber",
        "main.generic.m",
    ):
        stored = next(each for each in told.holders if each.path.startswith(name)).stored_by
        assert [(each.line, each.certainty, each.statement) for each in stored] == [
            (expected[name], "likely", STATEMENTS[name])
        ]
    filled = next(each for each in told.holders if each.path.startswith("main.filled")).stored_by
    assert [(each.statement, each.certainty) for each in filled] == [(FILLED, "likely")]
    local = next(each for each in told.holders if each.path.startswith("main.remember")).stored_by
    assert [(each.line, each.certainty) for each in local] == [(expected["main.remember"], "possible")]


def test_a_stripped_program_gets_its_texts_from_the_folder_and_no_other_lines(
    stripped: Captured, tmp_path: Path, expected: dict[str, int]
) -> None:
    answer = with_source(stripped.answer, moved(tmp_path))

    by_line = {line: STATEMENTS.get(name) for name, line in expected.items()}
    for holder in answer.holders:
        for each in holder.stored_by:
            if each.certainty != "possible":
                assert each.statement == by_line[each.line]


def assert_told(of: Captured, expected: dict[str, int]) -> None:
    for name in CERTAINTY:
        for holder in holders(of, name):
            assert {each.line for each in holder.stored_by} == {expected[name]}, holder.path


def assert_nothing_else_told(of: Captured, expected: dict[str, int]) -> None:
    """`other.add` may be one of two, and `row` and `item` have no field that only one statement fills."""
    told = {
        each.line for holder in of.answer.holders for each in holder.stored_by if each.certainty != "possible"
    }
    assert len(told) >= 6
    assert told <= set(expected.values())


@pytest.mark.slow
@pytest.mark.parametrize("release", RELEASES)
def test_every_release_tells_the_same_lines(release: str, expected: dict[str, int]) -> None:
    assert_told(captured(Mode.DEFAULT, release), expected)
    assert_nothing_else_told(captured(Mode.STRIPPED, release), expected)


@pytest.mark.skipif(QEMU is None, reason=WITHOUT_QEMU)
def test_code_for_arm64_tells_the_same_lines(expected: dict[str, int]) -> None:
    assert_told(captured_on_arm64(Mode.ARM64, PROGRAM), expected)


@pytest.mark.slow
@pytest.mark.skipif(QEMU is None, reason=WITHOUT_QEMU)
@pytest.mark.parametrize("release", RELEASES)
def test_every_release_for_arm64_tells_the_same_lines(release: str, expected: dict[str, int]) -> None:
    assert_told(captured_on_arm64(Mode.ARM64, PROGRAM, release), expected)
    assert_nothing_else_told(captured_on_arm64(Mode.ARM64_STRIPPED, PROGRAM, release), expected)


def test_the_python_api_gives_the_same_texts(built_here: Captured, tmp_path: Path) -> None:
    told = Session(built_here.heap).answer
    elsewhere = Session(built_here.heap, source=moved(tmp_path)).answer

    assert told == with_source(built_here.answer, SourceLines())
    texts = {each.statement for holder in told.holders for each in holder.stored_by}
    assert texts >= set(STATEMENTS.values())
    assert FILLED in {each.statement for holder in elsewhere.holders for each in holder.stored_by}
