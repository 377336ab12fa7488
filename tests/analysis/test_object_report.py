"""What heldby says of one object or variable, in a program whose values are known."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import heldby
from heldby.analysis.drilldown.object_report import ObjectReport, object_report
from heldby.analysis.holding.holder_tree import build_holder_tree
from heldby.capture import capture_process
from heldby.cli.main import cli
from heldby.errors import UsageError
from heldby.golang.values import NOT_CAPTURED, Limits
from heldby.heap.heap import Heap
from heldby.render.object_screen import object_screen
from tests.analysis.drilldown_program import drilldown
from tests.support.build import Mode, build
from tests.support.process import running, wait_until_still
from tests.support.toolchains import Toolchain, any_toolchain

pytestmark = pytest.mark.ptrace

PROGRAM = Path(__file__).parents[1] / "heap" / "programs" / "values"


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Mapping[str, Any]]:
    path = tmp_path_factory.mktemp("values") / "values.core"
    with running(build(PROGRAM, any_toolchain(), Mode.DEFAULT)) as program:
        wait_until_still(program.pid)
        capture_process(program.pid, path)
        return path, dict(program.ready)


@pytest.fixture(scope="module")
def heap(core: tuple[Path, Mapping[str, Any]]) -> Heap:
    return heldby.open(core[0], cache=False).heap


def report(heap: Heap, addr: int, **limits: int) -> ObjectReport:
    return object_report(heap, build_holder_tree(heap), addr, limits=Limits(**limits))


def test_an_object_tells_what_it_costs_and_who_keeps_it(go: Toolchain) -> None:
    read = drilldown(go)
    entries = [row for row in range(1, read.heap.object_count + 1) if _is_entry(read.heap, row)]
    found = report(read.heap, int(read.heap.objects.addr[entries[0]]))

    assert (found.type, found.shallow_bytes, found.slot_bytes, found.has_pointers) == (
        "main.Entry",
        32,
        32,
        True,
    )
    # The struct, its name of 48 bytes and its blob of 1024.
    assert (found.retained_bytes, found.retained_objects) == (32 + 48 + 1024, 3)
    assert (found.path, found.holder, found.shortest) == ("main.manager.paths[*]",) * 3
    assert [each.name for each in found.dominators][-1] == "main.manager"
    assert found.dominators[-1].address is None
    assert found.dominator_count == len(found.dominators)
    assert found.referrers is not None
    assert [row["field"] for row in found.referrers.rows()] == ["[*]"]
    assert (found.resident_bytes, found.live) == (32, True)


def _is_entry(heap: Heap, vertex: int) -> bool:
    if heap.naming.type_name(heap.naming.type_at(int(vertex))) != "main.Entry":
        return False
    number = int(heap.tree.number[vertex])
    return bool(heap.live[vertex]) and int(heap.retained_bytes[number]) == 32 + 48 + 1024


def test_garbage_is_shown_and_called_so(heap: Heap, core: tuple[Path, Mapping[str, Any]]) -> None:
    found = report(heap, int(core[1]["garbage"]))

    assert (found.live, found.retained_bytes, found.path, found.dominators) == (False, None, None, ())
    assert found.value.python == {"Count": 13, "label": "lost"}
    assert "garbage: nothing reaches it" in object_screen(found, 100).plain


def test_an_address_inside_means_a_field(heap: Heap, core: tuple[Path, Mapping[str, Any]]) -> None:
    found = report(heap, int(core[1]["inner"]) + 9)

    assert (found.address, found.inside, found.type) == (core[1]["inner"], ".label", "main.Inner")


def test_a_text_ends_where_its_string_does(heap: Heap, core: tuple[Path, Mapping[str, Any]]) -> None:
    found = report(heap, int(core[1]["text"]))

    assert (found.value.python, found.value.length) == ("grüße", 7)


def test_a_variable_is_read_by_its_type(heap: Heap, core: tuple[Path, Mapping[str, Any]]) -> None:
    found = report(heap, int(core[1]["plain"]) + 8)

    assert (found.variable, found.type, found.inside) == ("main.plain", "main.Inner", ".label")
    assert found.value.python == {"Count": 5, "label": "global"}
    assert found.referrers is None


@pytest.mark.parametrize(
    ("name", "shift", "cause"),
    [
        ("counter", 0, "a variable without pointers"),
        ("local", 0, "on the stack of goroutine 1 (runtime.main)"),
        ("code", 1, "code of main.closure.func1"),
    ],
)
def test_what_is_no_object_is_named(
    heap: Heap, core: tuple[Path, Mapping[str, Any]], name: str, shift: int, cause: str
) -> None:
    with pytest.raises(UsageError) as error:
        report(heap, int(core[1][name]) + shift)

    assert cause in str(error.value.cause)


def test_free_slots_and_addresses_of_nothing_are_named(heap: Heap) -> None:
    spans = heap.objects.spans
    addrs = set(heap.objects.addr.tolist())
    free = next(
        int(base) + slot * int(size)
        for base, size, count in zip(spans.base, spans.elemsize, spans.nelems, strict=True)
        for slot in range(int(count))
        if int(base) + slot * int(size) not in addrs
    )
    with pytest.raises(UsageError) as error:
        report(heap, free)
    assert "a free slot of" in str(error.value.cause)
    for addr in (0, 8, 1 << 46, (1 << 64) - 1):
        with pytest.raises(UsageError) as error:
            report(heap, addr)
        assert "nothing that was captured" in str(error.value.cause)


def test_the_screen_shows_fields_with_their_values(heap: Heap, core: tuple[Path, Mapping[str, Any]]) -> None:
    screen = object_screen(report(heap, int(core[1]["scalars"])), 90).plain

    assert max(map(len, screen.splitlines())) <= 90
    words = {
        line.split()[0]: line.split(maxsplit=2)[2] for line in screen.splitlines() if len(line.split()) > 2
    }
    assert words["Escaped"] == r'"a\n\"b\"\x1b[31m\xff"'
    assert words["U64"] == "18446744073709551615"
    assert words["Wait"] == "5401500000000 (1h30m1.5s)"
    assert (words["F32"], words["NaN"], words["C64"], words["C128"]) == ("0.1", "NaN", "(1-2i)", "(0.5+3i)")


def test_numbers_in_a_table_are_as_go_prints_them(core: tuple[Path, Mapping[str, Any]]) -> None:
    path, ready = core
    arguments = ["object", str(path), str(ready["scalars"]), "--format", "csv", "--no-cache"]

    result = CliRunner().invoke(cli, arguments)

    assert result.exit_code == 0, result.output
    values = {row["field"]: row["value"] for row in csv.DictReader(io.StringIO(result.stdout))}
    names = ("F32", "F64", "NaN", "C64", "C128", "U64", "Yes")
    assert [values[f".{name}"] for name in names] == [
        *("0.1", "0.1", "NaN", "(1-2i)", "(0.5+3i)"),
        *("18446744073709551615", "true"),
    ]


def test_the_command_gives_a_typed_tree_as_json(core: tuple[Path, Mapping[str, Any]]) -> None:
    path, ready = core
    arguments = [
        "object",
        str(path),
        str(ready["leading"]),
        hex(ready["inner"]),
        "--format",
        "json",
        "--no-cache",
    ]

    result = CliRunner().invoke(cli, arguments)

    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    leading, inner = document["objects"]
    fields = {field["name"]: field for field in leading["value"]["fields"]}
    # To, what Twice points to, AnyPtr, Unsafe, the closure, the method value and an atomic pointer.
    assert (document["schema"], inner["address"], inner["referrer_count"]) == (1, hex(ready["inner"]), 7)
    assert fields["AnyNumber"]["elements"][0]["value"] == 123456
    assert fields["Nil"] | {"address": None} == {
        "kind": "pointer",
        "type": "*main.Inner",
        "address": None,
        "name": "Nil",
        "target": "0x0",
        "nil": True,
    }
    assert (fields["Hash"]["value"], fields["Hash"]["base64"]) == ("AQIDBA==", True)


def test_an_address_that_is_none_is_refused(core: tuple[Path, Mapping[str, Any]]) -> None:
    result = CliRunner().invoke(cli, ["object", str(core[0]), "zebra"])

    assert result.exit_code == 2
    assert "is no address" in result.output


def test_python_reads_objects_by_address(core: tuple[Path, Mapping[str, Any]]) -> None:
    session = heldby.open(core[0], cache=False)

    found = session.object(int(core[1]["leading"]))

    assert (found.type, found.live, found.shallow_bytes) == ("main.Leading", True, 448)
    assert found.fields["To"]["Count"].python == 9
    assert found.fields["Strings"].python == ["s", ""]
    assert found.value["AnyText"] == "text"
    assert found.referrers.row_count == 1
    assert found.retained_bytes is not None
    assert found.retained_bytes > 448
    assert not NOT_CAPTURED
    assert "main.Leading" in repr(found)
    with pytest.raises(UsageError):
        session.object(8)
