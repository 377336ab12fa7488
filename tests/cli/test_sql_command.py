"""``heldby sql`` and ``heldby export`` on the command line: formats, the prompt, and what goes wrong."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from heldby.cli.main import main
from heldby.cli.prompt import Prompt, completions
from heldby.errors import UsageError
from tests.support.build import Mode

pytestmark = pytest.mark.ptrace

COUNT = "SELECT count(*) AS n FROM objects WHERE type = '[]main.Label'"


@pytest.fixture
def capture(captures: Callable[[str, Mode], Path]) -> str:
    return str(captures("texts", Mode.DEFAULT))


def test_a_query_is_answered_in_every_format(
    capture: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    answers = {}
    for name in ("text", "json", "csv"):
        assert main(["sql", capture, COUNT, "--format", name, "-q"]) == 0
        answers[name] = capsys.readouterr().out
    assert main(["sql", capture, COUNT, "--format", "parquet", "-o", str(tmp_path / "n.parquet")]) == 0

    assert answers["text"].split() == ["n", "1"]
    assert json.loads(answers["json"])["rows"] == [{"n": 1}]
    assert answers["csv"].split() == ["n", "1"]
    assert (tmp_path / "n.parquet").read_bytes()[:4] == b"PAR1"


def test_a_plan_is_printed_as_it_is_drawn(capture: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sql", capture, "EXPLAIN SELECT count(*) FROM spans"]) == 0

    assert len(capsys.readouterr().out.splitlines()) > 5


@pytest.mark.parametrize(
    ("query", "words"),
    [("SELECT nosuch FROM objects", "nosuch"), ("DROP VIEW objects", "can only be read"), (" ", "is empty")],
)
def test_a_wrong_query_is_an_error_of_usage(
    capture: str, capsys: pytest.CaptureFixture[str], query: str, words: str
) -> None:
    assert main(["sql", capture, query]) == 2

    said = capsys.readouterr()
    assert said.out == ""
    assert words in said.err
    assert "next:" in said.err


def test_queries_from_a_pipe_are_answered_one_by_one(
    capture: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{COUNT};\n\nSELECT\n  2 AS two;\nSELECT 3 AS three"))

    assert main(["sql", capture, "--format", "csv"]) == 0
    assert capsys.readouterr().out.split() == ["n", "1", "two", "2", "three", "3"]


@pytest.mark.parametrize(
    ("text", "queries"),
    [
        ("SELECT 1;SELECT 2;", ["SELECT 1;", "SELECT 2;"]),
        ("SELECT 'é;' AS \"a;\", $$;$$; SELECT 2", ["SELECT 'é;' AS \"a;\", $$;$$;", "SELECT 2"]),
        ("SELECT 'a;\nb'; SELECT 2;", ["SELECT 'a;\nb';", "SELECT 2;"]),
        ("SELECT 1; -- done;\nSELECT 2; /* and\n; */ -- no more", ["SELECT 1;", "SELECT 2;"]),
        ("-- first;\n\nSELECT 1;;\n", ["SELECT 1;"]),
        ("SELEC 1; SELECT 2;", ["SELEC 1;", "SELECT 2;"]),
        ("SELECT /* ; */\n1 -- ;\n;", ["SELECT /* ; */\n1 -- ;\n;"]),
    ],
)
def test_a_query_of_a_pipe_ends_at_a_semicolon_that_is_one(
    text: str, queries: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("sys.stdin", io.StringIO(text))

    Prompt(asked.append, interactive=False).run()

    assert asked == queries


def test_the_first_error_of_a_pipe_ends_it(
    capture: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("SELECT nosuch;\nSELECT 2 AS two;\n"))

    assert main(["sql", capture]) == 2
    assert capsys.readouterr().out == ""


def test_an_output_file_needs_a_query(capture: str, tmp_path: Path) -> None:
    assert main(["sql", capture, "-o", str(tmp_path / "x")]) == 2


def typed(monkeypatch: pytest.MonkeyPatch, lines: list[str | type[BaseException]]) -> list[str]:
    """Type lines at a prompt; return the queries that it asked. ``nosuch`` in a query is an error."""
    asked: list[str] = []
    waiting = iter(lines)

    def read(_prompt: str) -> str:
        line = next(waiting, EOFError)
        if isinstance(line, str):
            return line
        raise line

    def answer(query: str) -> None:
        asked.append(query)
        if "nosuch" in query:
            raise UsageError("there is no nosuch")

    monkeypatch.setattr("builtins.input", read)
    Prompt(answer, interactive=True).run()
    return asked


def test_at_the_prompt_an_error_is_told_and_the_next_query_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(monkeypatch, ["SELECT nosuch;", "SELECT", "2;"]) == ["SELECT nosuch;", "SELECT\n2;"]
    assert "there is no nosuch" in capsys.readouterr().err


def test_ctrl_c_forgets_the_lines_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    assert typed(monkeypatch, ["SELECT", KeyboardInterrupt, "SELECT 2;"]) == ["SELECT 2;"]


def test_dot_commands_describe_the_tables(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(monkeypatch, [".tables", ".schema spans", ".nonsense", ".quit", "SELECT 1;"]) == []

    out = capsys.readouterr().out
    assert "goroutines  A goroutine that is not dead." in out
    assert "slot_bytes        BIGINT   bytes    of a slot" in out
    assert "Ctrl-D" in out


@pytest.mark.parametrize(
    ("text", "line", "found"),
    [
        ("ret", "SELECT ret FROM roots", ["retained_bytes", "retained_objects"]),
        ("gor", "SELECT * FROM gor", ["goroutine", "goroutines"]),
        ("noscan", "SELECT noscan FROM spans", ["noscan"]),
        ("SEL", "SEL", ["SELECT"]),
        (".sch", ".sch", [".schema"]),
        ("sp", ".schema sp", ["spans"]),
    ],
)
def test_names_are_completed(text: str, line: str, found: list[str]) -> None:
    assert completions(text, line) == found


def test_an_export_needs_something_to_write(
    capture: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["export", capture]) == 2
    assert "--parquet DIR" in capsys.readouterr().err
    assert main(["export", capture, "--strings", "--pprof", str(tmp_path / "p")]) == 2
    assert (
        main(["export", capture, "--parquet", str(tmp_path / "t"), "--pprof", str(tmp_path / "p"), "-q"]) == 0
    )
    assert {path.name for path in tmp_path.iterdir()} == {"t", "p"}
