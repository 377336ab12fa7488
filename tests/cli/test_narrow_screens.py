"""Sixty cells are enough for every answer: what has no room beside stands below."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len

import heldby
from heldby.cli.main import main
from tests.support.build import Mode

pytestmark = pytest.mark.ptrace


@pytest.fixture(scope="module")
def core(captures: Callable[[str, Mode], Path]) -> Path:
    return captures("drilldown", Mode.DEFAULT)


@pytest.fixture(scope="module")
def address(core: Path) -> str:
    entries = heldby.open(core).objects.where(type="main.Entry").rows(limit=1)
    return f"{entries[0]['address']:#x}"


@pytest.mark.parametrize(
    "question",
    [
        ("explain",),
        *(("top", "--by", by) for by in ("type", "holder", "module", "root", "size-class", "goroutine")),
        ("tree", "--depth", "6"),
        ("tree", "--objects"),
        ("goroutines",),
        ("find", "--type", "main.Entry"),
        ("find", "--string", "a"),
        ("what-if", "--without", "main.manager.paths"),
        ("paths", "main.Entry"),
        ("refs", "ADDR"),
        ("refs", "ADDR", "--out"),
        ("object", "ADDR", "--depth", "3"),
        ("size-classes",),
        ("size-classes", "--by", "type"),
        ("rss",),
        ("rss", "-v"),
        ("cost",),
        ("sql", "SELECT * FROM objects LIMIT 5"),
        ("sql", "SELECT * FROM goroutines"),
    ],
    ids=" ".join,
)
def test_no_line_is_wider_than_sixty_cells(
    core: Path,
    address: str,
    question: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    command, *arguments = (address if word == "ADDR" else word for word in question)

    assert main([command, str(core), *arguments, "-q"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 2
    assert [line for line in lines if cell_len(line) > 60] == []


def test_the_numbers_of_a_table_are_all_there_on_a_narrow_screen(
    core: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def words(columns: str) -> list[str]:
        monkeypatch.setenv("COLUMNS", columns)
        assert main(["size-classes", str(core), "-q"]) == 0
        table = capsys.readouterr().out.partition("\n\n")[2].partition("\n\n")[0]
        return [word.strip(",") for word in table.split() if word.strip(",").replace(",", "").isdigit()]

    wide, narrow = words("120"), words("60")

    assert len(wide) > 40
    assert sorted(wide) == sorted(narrow)
