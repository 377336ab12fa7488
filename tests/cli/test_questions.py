"""The commands that ask further, from the command line to the last byte of their output."""

from __future__ import annotations

import csv
import functools
import io
import json
import os
import stat
from pathlib import Path

import duckdb
import pytest

from heldby.capture import capture_process
from heldby.capture.destination import Destination
from heldby.cli.main import main
from heldby.errors import UsageError
from tests.support.build import scenario_program
from tests.support.process import running, wait_until_still
from tests.support.toolchains import NEWEST, toolchain

pytestmark = pytest.mark.ptrace

ENTRY = 32 + 48 + 1024


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("questions") / "drilldown.core"
    with running(scenario_program("drilldown", toolchain(NEWEST))) as program:
        wait_until_still(program.pid)
        capture_process(program.pid, path)
    return str(path)


def asked(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert main([*arguments, "-q"]) == code
    taken = capsys.readouterr()
    return taken.out if code == 0 else taken.err


def test_top_as_text_fits_the_screen(core: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = asked(capsys, "top", core, "--limit", "200").splitlines()

    assert lines[0] == "What the objects of each type retain together"
    twin = next(line.split() for line in lines if line.startswith("main.Twin"))
    # 64 and 8,256 bytes, in three objects.
    assert twin[1:7] == ["2", "64", "B", "8.06", "KiB", "3"]
    assert max(map(len, lines)) <= 80


def test_top_as_json_has_every_row_and_exact_bytes(core: str, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(asked(capsys, "top", core, "--format", "json"))

    rows = {row["type"]: row for row in document["rows"]}
    assert rows["main.Twin"]["retained_bytes"] == 64 + 8192
    assert len(rows) == document["total_rows"] > 30


def test_top_as_csv_and_parquet_are_the_same_rows(
    core: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "top.parquet"

    rows = list(csv.DictReader(io.StringIO(asked(capsys, "top", core, "--format", "csv"))))
    asked(capsys, "top", core, "--format", "parquet", "-o", str(file))

    found = duckdb.sql(f"SELECT type, retained_bytes FROM '{file}'").fetchall()
    assert [(row["type"], int(row["retained_bytes"])) for row in rows] == found
    assert file.stat().st_mode & 0o777 == 0o600


def test_parquet_wants_a_file(core: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "parquet is a file format" in asked(capsys, "top", core, "--format", "parquet", code=2)


def test_an_existing_file_is_not_replaced_unasked(
    core: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "top.json"
    file.write_text("mine")

    assert "exists" in asked(capsys, "top", core, "-o", str(file), code=2)
    assert file.read_text() == "mine"
    asked(capsys, "top", core, "--format", "json", "-o", str(file), "--force")
    assert json.loads(file.read_text())["table"] == "top"


def test_what_is_no_file_is_written_to_and_stays_what_it_is(
    core: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A FIFO stands for ``/dev/null``, which a renamed file would replace for everyone when root asks."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)

    asked(capsys, "top", core, "--limit", "1", "--format", "json", "-o", str(pipe), "--force")

    assert json.loads(os.read(reader, 1 << 16))["table"] == "top"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    with pytest.raises(UsageError, match="is no regular file"):
        Destination(pipe, force=True)


def test_filters_are_taken(core: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("top", core, "--holder", "main.manager.paths", "--type", "main....", "--min-size", "1KiB")
    rows = json.loads(asked(capsys, *arguments, "--format", "json"))["rows"]

    assert [(row["type"], row["objects"], row["retained_bytes"]) for row in rows] == [
        ("main.Entry", 100, 100 * ENTRY)
    ]


def test_filters_are_the_same_options_everywhere(core: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One set of options: every question about objects takes all four, and gives the objects that they choose."""
    chosen = [
        "--package",
        "main",
        "--type",
        "main.Entry",
        "--holder",
        "main.manager.paths",
        "--min-size",
        "1",
    ]

    def rows(name: str, *arguments: str) -> list[dict[str, object]]:
        said = asked(capsys, name, core, *arguments, *chosen, "--format", "json")
        found: list[dict[str, object]] = json.loads(said)["rows"]
        return found

    assert [row["chosen_objects"] for row in rows("tree", "--depth", "1")] == [100]
    assert len(rows("tree", "--objects", "--depth", "0", "--width", "200")) == 100
    assert [row["objects"] for row in rows("paths", "main.Entry")] == [100]
    assert len(rows("find")) == 100
    assert len(rows("find", "--where", "Next IS NULL")) == 100
    assert [row["freed_objects"] for row in rows("what-if", "--without", "main.manager")] == [100]
    assert [row["slot_bytes"] for row in rows("size-classes")] == [32]
    assert [row["objects"] for row in rows("top", "--by", "holder")] == [100]


def test_an_object_is_a_table_of_its_values_too(
    core: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = json.loads(asked(capsys, "tree", core, "main.manager.paths[*]", "--objects", "--format", "json"))
    addr, file = tree["rows"][0]["addr"], tmp_path / "object.parquet"

    rows = list(csv.DictReader(io.StringIO(asked(capsys, "object", core, addr, "--format", "csv"))))
    asked(capsys, "object", core, addr, "--format", "parquet", "-o", str(file))

    fields = {row["field"]: row for row in rows}
    assert [fields[name]["type"] for name in ("", ".Name", ".Next")] == [
        "main.Entry",
        "string",
        "*main.Entry",
    ]
    assert (len(fields[".Name"]["value"]), fields[".Name"]["length"], fields[".Next"]["value"]) == (
        48,
        "48",
        "nil",
    )
    assert duckdb.sql(f"SELECT value FROM '{file}' WHERE field = '.Name'").fetchall() == [
        (fields[".Name"]["value"],)
    ]


def test_tree_is_indented(core: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = asked(capsys, "tree", core, "main.manager", "--depth", "2").splitlines()

    assert [line.split()[0] for line in lines[4:8]] == ["main.manager", ".paths", "[*]", ".chain"]
    assert [len(line) - len(line.lstrip()) for line in lines[4:8]] == [0, 2, 4, 2]


def test_tree_of_objects_goes_on_with_paths_refs_and_back(
    core: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An address from one answer is the question of the next."""
    ask = functools.partial(asked, capsys)
    tree = json.loads(ask("tree", core, "main.manager.paths[*]", "--objects", "--format", "json"))
    addr = tree["rows"][0]["addr"]

    paths = json.loads(ask("paths", core, addr, "--format", "json"))
    out = json.loads(ask("refs", core, addr, "--out", "--format", "json"))
    name = next(row["addr"] for row in out["rows"] if row["field"] == ".Name")
    into = json.loads(ask("refs", core, name, "--format", "json"))

    assert [row["path"] for row in paths["rows"]] == ["main.manager.paths[*]"]
    assert [row["addr"] for row in into["rows"]] == [addr]
    below = json.loads(ask("tree", core, addr, "--format", "json"))
    assert below["rows"][0]["retained_bytes"] == ENTRY


def test_goroutines_and_what_they_wait_for(core: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = asked(capsys, "goroutines", core)

    assert "none is certainly leaked" in text
    assert "main.serve" in text
    assert "created by main.main" in text
    assert "nothing found" in asked(capsys, "goroutines", core, "--leaked")


def test_what_if_takes_several_references(core: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("what-if", core, "--without", "main.manager.spare", "--without", "main.keeper")
    document = json.loads(asked(capsys, *arguments, "--format", "json"))

    assert document["rows"] == [
        {"type": "main.Spare", "freed_bytes": 4096, "freed_objects": 1, "share": document["rows"][0]["share"]}
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("top", "--by", "colour"), "colour"),
        (("top", "--by", "goroutine", "--type", "main.Entry"), "single goroutines are not asked for"),
        (("top", "--by", "root", "--parts"), "--parts goes with --by type"),
        (
            ("paths", "main.Entry", "--all-roots", "--min-size", "1"),
            "--min-size has no meaning with --all-roots",
        ),
        (("paths", "main.Entry", "--package", "no/such"), "no live object fits --package no/such"),
        (("goroutines", "--function", "main.no"), "no goroutine's stack passes through main.no"),
        (("top", "--min-size", "much"), "is no number of bytes"),
        (("refs", "somewhere"), "is no address"),
        (("what-if",), "--without"),
        (("tree", "main.managr"), "nothing is called main.managr"),
        (("paths", "0x1"), "there is no object at 0x1"),
    ],
)
def test_wrong_arguments_say_how_to_write_them(
    core: str, arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command, *rest = arguments

    assert said in asked(capsys, command, core, *rest, code=2)
