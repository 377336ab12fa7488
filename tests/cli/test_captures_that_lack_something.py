"""Every answer about a capture that is cut off says so: its numbers are those of what is left."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import heldby
from heldby.cli.main import main
from tests.support.build import Mode

pytestmark = pytest.mark.ptrace

CUT = "the core is cut off: 1,000 bytes that its headers promise are not there"
QUESTIONS = [
    ("explain",),
    ("top",),
    ("top", "--by", "holder"),
    ("tree",),
    ("tree", "--objects"),
    ("goroutines",),
    ("find", "--type", "main.Entry"),
    ("find", "--string", "a"),
    ("what-if", "--without", "main.manager.paths"),
    ("paths", "main.Entry"),
    ("paths", "main.Entry", "--all-roots"),
    ("refs", "ADDR"),
    ("object", "ADDR"),
    ("size-classes",),
    ("size-classes", "--by", "type"),
    ("rss",),
    ("cost",),
    ("sql", "SELECT type, bytes FROM objects LIMIT 3"),
]


@pytest.fixture(scope="module")
def whole(captures: Callable[[str, Mode], Path]) -> Path:
    return captures("drilldown", Mode.DEFAULT)


@pytest.fixture(scope="module")
def cut(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cut") / "cut.core"
    path.write_bytes(whole.read_bytes()[:-1000])
    return path


@pytest.fixture(scope="module")
def address(whole: Path) -> str:
    entries = heldby.open(whole).objects.where(type="main.Entry").rows(limit=1)
    return f"{entries[0]['address']:#x}"


def said(path: Path, question: tuple[str, ...], address: str, *more: str) -> list[str]:
    command, *arguments = (address if word == "ADDR" else word for word in question)
    return [command, str(path), *arguments, *more]


@pytest.mark.parametrize("question", QUESTIONS, ids=" ".join)
def test_a_screen_says_what_is_missing(
    cut: Path, whole: Path, question: tuple[str, ...], address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(said(cut, question, address, "-q")) == 0
    damaged = " ".join(capsys.readouterr().out.split())
    assert main(said(whole, question, address, "-q")) == 0
    healthy = capsys.readouterr().out

    assert damaged.count(f"note: {CUT}") == 1
    assert "cut off" not in healthy


@pytest.mark.parametrize("question", QUESTIONS, ids=" ".join)
def test_json_says_what_is_missing(
    cut: Path, question: tuple[str, ...], address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(said(cut, question, address, "-q", "--format", "json")) == 0

    assert json.loads(capsys.readouterr().out)["caveats"].count(CUT) == 1


def test_formats_without_notes_have_them_on_stderr(
    cut: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["top", str(cut), "--format", "csv"]) == 0
    csv = capsys.readouterr()
    assert main(["top", str(cut), "--format", "parquet", "-o", str(tmp_path / "top.parquet")]) == 0
    parquet = capsys.readouterr()
    assert main(["top", str(cut), "--format", "csv", "-q"]) == 0

    assert csv.err.splitlines().count(f"heldby: note: {CUT}") == 1
    assert parquet.err.splitlines().count(f"heldby: note: {CUT}") == 1
    assert "cut off" not in csv.out
    assert capsys.readouterr().err == ""


def test_tables_in_python_and_exports_say_what_is_missing(cut: Path, address: str, tmp_path: Path) -> None:
    session = heldby.open(cut)

    assert session.objects.table(limit=1).notes == (CUT,)
    assert session.sql("SELECT 1 AS n").table().notes == (CUT,)
    assert f"<p>note: {CUT}</p>" in session.types._repr_html_()
    referrers = session.object(int(address, 16)).referrers
    assert referrers is not None
    assert referrers.notes[0] == CUT
    assert main(["export", str(cut), "--parquet", str(tmp_path / "tables"), "-q"]) == 0
    assert json.loads((tmp_path / "tables" / "schema.json").read_text())["caveats"] == [CUT]


def test_a_kept_analysis_says_it_too(cut: Path) -> None:
    fresh = heldby.open(cut, cache=False).heap
    heldby.open(cut)
    kept = heldby.open(cut).heap

    assert type(kept) is not type(fresh)
    assert kept.losses == fresh.losses == [CUT]
