"""Which statement stores into a plain field: a pointer, a string, bytes; decoys have the same shapes and offsets."""

from __future__ import annotations

import pytest

from heldby.analysis.statements.source_statements import with_source
from heldby.source import SourceLines
from tests.storing.conftest import FIELDS, Captured, captured, captured_on_arm64, marked_lines
from tests.support.arm64 import QEMU, WITHOUT_QEMU
from tests.support.build import Mode
from tests.support.toolchains import RELEASES

pytestmark = pytest.mark.ptrace
needs_qemu = pytest.mark.skipif(QEMU is None, reason=WITHOUT_QEMU)

# How the holder's path ends: which statement keeps it, as the comments in the source call it.
STORED = {
    ".pixels[*]": ("main.loaded.pixels", "main.load", "likely"),
    ".body": ("main.logged.body", "main.(*session).login", "likely"),
    ".in.raw": ("main.nested.in.raw", "main.(*inner).set", "likely"),
    ".last": ("main.closed.last", "main.setter.func1", "likely"),
    ".head(.next)*": ("main.pushed", "main.(*chain).push", "likely"),
    ".first(.next)*": ("main.queued", "main.(*queue).put", "likely"),
    ".config": ("main.served.config", "main.(*server).reload", "likely"),
}
PLAIN_BYTES = 253_952


def stored_by(of: Captured, ending: str) -> list[tuple[str, int | None, str]]:
    holder = next(each for each in of.answer.holders if each.path.endswith(ending))
    return [(each.func, each.line, each.certainty) for each in holder.stored_by]


@pytest.fixture(scope="module")
def with_debug_information() -> Captured:
    return captured(Mode.DEFAULT, source=FIELDS)


@pytest.fixture(scope="module")
def stripped() -> Captured:
    return captured(Mode.STRIPPED, source=FIELDS)


@pytest.fixture(params=["with_debug_information", "stripped"])
def program(request: pytest.FixtureRequest) -> Captured:
    found: Captured = request.getfixturevalue(request.param)
    return found


def assert_told(of: Captured) -> None:
    lines = marked_lines(FIELDS)
    for ending, (mark, function, certainty) in STORED.items():
        ((func, line, sure),) = stored_by(of, ending)
        assert (func, sure) == (function, certainty), ending
        # An atomic store is inlined: its line is that of the call, or of what the argument begins with.
        assert line in ({lines[mark] - 1, lines[mark]} if ending == ".config" else {lines[mark]}), ending


def test_the_statement_is_found_and_its_decoys_are_not_blamed(program: Captured) -> None:
    assert_told(program)


def test_a_variable_without_fields_is_told_by_its_address(program: Captured) -> None:
    holder = next(each for each in program.answer.holders if each.retained_bytes == PLAIN_BYTES)

    assert [(each.line, each.certainty) for each in holder.stored_by] == [
        (marked_lines(FIELDS)["main.plain"], "certain")
    ]


def test_a_type_that_only_a_type_switch_tells_is_not_guessed(program: Captured) -> None:
    assert stored_by(program, ".data") == []


def test_no_statement_is_told_that_stores_into_something_else(program: Captured) -> None:
    known = set(marked_lines(FIELDS).values())
    for holder in program.answer.holders:
        for each in holder.stored_by:
            assert each.line in known or each.func == "main.(*server).reload"


def test_a_list_made_by_hand_is_kept_in_the_field_that_leads_to_itself(
    with_debug_information: Captured,
) -> None:
    holder = next(each for each in with_debug_information.answer.holders if "pushed" in each.path)

    assert [(place.container, place.owner, place.field) for place in holder.kept_in] == [
        ("field", "main.node", "next"),
        ("field", "main.chain", "head"),
        ("field", None, "pushed"),
    ]


def test_the_source_tells_the_same_statements(program: Captured) -> None:
    answer = with_source(program.answer, SourceLines(FIELDS))

    texts = {each.statement for holder in answer.holders for each in holder.stored_by}
    assert texts >= {
        "s.body = text(i, 400000)",
        "in.raw = text(i, 300000)",
        "s.last = text(i, 200000)",
        "fresh.next = c.head",
        "q.last.next = e",
    }


@pytest.mark.slow
@pytest.mark.parametrize("mode", [Mode.DEFAULT, Mode.STRIPPED, Mode.STRIPPED_PIE])
@pytest.mark.parametrize("release", RELEASES)
def test_every_release_tells_the_same(release: str, mode: Mode) -> None:
    assert_told(captured(mode, release, FIELDS))


@needs_qemu
@pytest.mark.parametrize("mode", [pytest.param(Mode.ARM64, marks=pytest.mark.slow), Mode.ARM64_STRIPPED])
def test_code_for_arm64_tells_the_same(mode: Mode) -> None:
    assert_told(captured_on_arm64(mode, FIELDS))


@needs_qemu
@pytest.mark.slow
@pytest.mark.parametrize("release", RELEASES)
def test_every_release_for_arm64_tells_the_same(release: str) -> None:
    assert_told(captured_on_arm64(Mode.ARM64_STRIPPED, FIELDS, release))
