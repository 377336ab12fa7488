"""What each command reads of a kept analysis, frozen: a column too many is a scan that looks like a look-up.

A column of 10 million rows costs 10 to 40 ms to map and check, and listing all addresses and marks 0.3 s; few
answers depend on more than some of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest

from heldby.cli.main import main
from heldby.golang.objects.objects import SlotBits
from heldby.store.reader import Reader
from tests.support.build import Mode

pytestmark = pytest.mark.ptrace

NAMES = {"objects.type", "programs.*"}
ROOTS = {"roots.*", "slots.*"}
PATHS = {*NAMES, *ROOTS, "paths.*", "reached.path", "reached.vertex", "vertices.number"}
SETS = {
    *("heads.number", "heads.referrers", "referrers.number"),
    *("reached.dominator", "reached.retained_bytes", "reached.retained_count", "reached.vertex"),
    "vertices.number",
}
GRAPH = {"edges.target", "vertices.degree"}
WAYS = {*NAMES, *ROOTS, *GRAPH, "edges.word"}
DEFERRED = {"deferred.edge", "deferred.target"}
FORESTS = {"reached.dominator", "reached.retained_bytes", "reached.retained_count", "vertices.number"}

#: ADDR is the address of an entry.
COMMANDS: tuple[tuple[str, set[str]], ...] = (
    ("explain", set()),
    ("top", SETS | NAMES),
    ("top --by package", SETS | NAMES),
    ("top --by module", SETS | NAMES),
    ("top --by size-class", SETS),
    ("top --by holder", PATHS),
    ("top --by root", FORESTS | ROOTS),
    ("top --by goroutine", FORESTS | ROOTS),
    ("top --holder main.manager", SETS | PATHS),
    ("tree", PATHS),
    # Whose groups are those that several map types have in common, their dominators tell.
    ("tree main.manager --type main.Entry", PATHS | {"reached.dominator"}),
    ("tree ADDR", PATHS | {"reached.dominator", "reached.retained_bytes"}),
    ("paths main.Entry", WAYS | {"vertices.number"}),
    ("paths ADDR", WAYS),
    ("paths ADDR --all-roots --strong", WAYS),
    ("refs ADDR", WAYS | PATHS - {"reached.vertex"} | DEFERRED | {"reached.retained_bytes"}),
    ("refs ADDR --out", WAYS | PATHS - {"reached.vertex"} | DEFERRED | {"reached.retained_bytes"}),
    ("object ADDR", WAYS | PATHS | FORESTS | DEFERRED | {"objects.evidence"}),
    ("goroutines", SETS | GRAPH | ROOTS | DEFERRED | {"edges.word"}),
    ("what-if --without main.manager.paths", PATHS | WAYS | DEFERRED | {"reached.dominator"}),
    ("size-classes", NAMES | {"vertices.number"}),
    ("find --type main.Entry", NAMES | {"reached.retained_bytes", "vertices.number"}),
    ("find --string entry", WAYS | PATHS | DEFERRED),
)


@pytest.fixture(scope="module")
def kept(captures: Callable[[str, Mode], Path]) -> tuple[str, str]:
    """A capture whose analysis is kept, and the address of an entry in it."""
    path = str(captures("drilldown", Mode.DEFAULT))
    assert main([path, "-q"]) == 0
    out = Path(path).with_name("tree.json")
    assert (
        main(["tree", path, "main.manager.paths[*]", "--objects", "--format", "json", "-q", "-o", str(out)])
        == 0
    )
    return path, json.loads(out.read_text())["rows"][0]["addr"]


@pytest.fixture
def read() -> Iterator[set[str]]:
    """The columns that were read; ``all objects`` where all addresses were listed."""
    found: set[str] = set()
    plain_columns, plain_list = Reader.columns, SlotBits.list_all

    def columns(self: Reader, table: str, *names: str) -> object:
        found.update(f"{table}.{name}" for name in names or ("*",))
        return plain_columns(self, table, *names)

    def list_all(self: SlotBits, **which: bool) -> object:
        found.add("all objects")
        return plain_list(self, **which)

    with mock.patch.object(Reader, "columns", columns), mock.patch.object(SlotBits, "list_all", list_all):
        yield found


@pytest.mark.parametrize(("command", "expected"), COMMANDS)
def test_a_command_reads_only_what_its_answer_depends_on(
    kept: tuple[str, str],
    read: set[str],
    command: str,
    expected: set[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    capture, address = kept
    name, *words = command.split()

    assert main([name, capture, *(address if word == "ADDR" else word for word in words), "-q"]) == 0, (
        capsys.readouterr().err
    )

    # A heap of a thousand objects: where a question is about an eighth of them, listing all is cheaper.
    assert read - {"all objects"} == expected
    if "ADDR" in words or name in ("explain", "tree", "what-if", "size-classes"):
        assert "all objects" not in read
