"""Answers of a real heap that go to stdout, whoever reads it and however it is named."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from heldby.cli.main import main
from tests.support.build import Mode

pytestmark = pytest.mark.ptrace

HELDBY = [sys.executable, "-m", "heldby.cli.main"]


@pytest.fixture(scope="module")
def core(captures: Callable[[str, Mode], Path]) -> Path:
    return captures("drilldown", Mode.DEFAULT)


@pytest.mark.parametrize(
    "arguments",
    [
        ("explain",),
        ("explain", "--format", "json"),
        ("top",),
        ("top", "--format", "csv"),
        ("tree",),
        ("rss",),
        ("cost",),
        ("sql", "SELECT * FROM types", "--format", "json"),
    ],
    ids=" ".join,
)
def test_a_reader_that_went_away_is_told_by_the_exit_code(core: Path, arguments: tuple[str, ...]) -> None:
    command, *more = arguments
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing) as stdout:
        done = subprocess.run(
            [*HELDBY, command, str(core), *more, "-q"], check=False, stdout=stdout, stderr=subprocess.PIPE
        )

    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_goes_away_in_the_middle_is_told_too(core: Path, unbuffered: str) -> None:
    """Of an answer that is larger than a pipe, the reader takes the first line only."""
    query = "SELECT range, repeat('x', 1000) AS text FROM range(1000)"
    command = [*HELDBY, "sql", str(core), query, "--format", "csv", "-q"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.readline() == b"range,text\r\n"
        child.stdout.close()
        err = child.stderr.read()

    assert (child.returncode, err) == (141, b"")


@pytest.mark.parametrize("command", ["explain", "top", "rss"])
def test_a_dash_is_stdout(
    core: Path,
    command: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)

    assert main([command, str(core), "--format", "json", "-q"]) == 0
    plain = capsys.readouterr().out
    assert main([command, str(core), "--format", "json", "-q", "-o", "-"]) == 0

    assert capsys.readouterr().out == plain
    assert list(tmp_path.iterdir()) == []


def test_a_file_may_still_be_called_so(core: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert main(["top", str(core), "--format", "csv", "-q", "-o", "./-"]) == 0

    assert Path("./-").read_text().startswith("type,objects,shallow_bytes,")


def test_an_answer_for_a_file_needs_no_stdout(core: Path, tmp_path: Path) -> None:
    file = tmp_path / "top.csv"
    line = f"{' '.join(HELDBY)} top {core} --format csv -q -o {file} >&-"

    assert subprocess.run(["sh", "-c", line], check=False).returncode == 0
    assert file.read_text().startswith("type,objects,shallow_bytes,")
