"""Keys of maps, numbers and errors, against what the program's own fmt prints of them."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import heldby
from heldby.golang.values import Limits, Value
from heldby.golang.values.number_forms import float_text
from heldby.heap.heap import Heap
from heldby.heap.values import values_of
from heldby.render.value_lines import value_lines
from heldby.render.value_text import key_texts, real_text
from tests.support.build import MODES, Mode, build
from tests.support.process import running, wait_until_still
from tests.support.toolchains import Toolchain

pytestmark = pytest.mark.ptrace

PROGRAM = Path(__file__).parent / "programs" / "printed"
ALL = Limits(items=10_000, text=10_000, values=1_000_000)
#: Keys that heldby writes as fmt does, but for quotes around strings and ``nil`` without brackets.
ALIKE = (
    *("Ints", "Words", "Floats", "Singles", "Complex", "Halves", "Bools", "Texts", "Large"),
    *("Addrs", "Ports", "Prefixes", "Structs", "Arrays", "Nested", "Wide"),
)


@functools.cache
def captured(go: Toolchain, mode: Mode) -> tuple[Heap, Mapping[str, Any]]:
    with running(build(PROGRAM, go, mode)) as program:
        wait_until_still(program.pid)
        return heldby.open(program.pid).heap, dict(program.ready)


def read(go: Toolchain, mode: Mode, name: str, limits: Limits = ALL) -> Value:
    heap, ready = captured(go, mode)
    reader = values_of(heap)
    return reader.read_object(reader.object_at(int(ready[name])), limits)


def entries_of(printed: str) -> list[tuple[str, int]]:
    """Return key and mark of each entry of a map that fmt printed."""
    assert printed.startswith("map[")
    return [(key, int(mark)) for key, mark in re.findall(r"(.*?):‹(\d+)› ?", printed[4:-1])]


def keys_of(found: Value) -> list[str]:
    return key_texts([key for key, _ in found.entries], 1000)


def says_which_are_v4(go: Toolchain, mode: Mode) -> bool:
    """Up to Go 1.22 only the address of a variable tells IPv4 from IPv6, and stripped programs do not name it."""
    return mode is not Mode.STRIPPED or go.minor not in ("1.21", "1.22")


both_modes = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name.lower())


@both_modes
def test_entries_are_in_the_order_in_which_fmt_prints_them(go: Toolchain, mode: Mode) -> None:
    printed = captured(go, mode)[1]["printed"]["maps"]

    found = {name: [mark.data for _, mark in of.entries] for name, of in read(go, mode, "maps").parts}

    assert len(found) == 23
    assert found == {name: [mark for _, mark in entries_of(text)] for name, text in printed.items()}
    assert found["Floats"] == [8, 3, 1, 9, 7, 0, 10, 6, 5, 4, 2]  # NaN, -Inf, -3.5, 5e-324 ... +Inf


@both_modes
def test_keys_are_written_as_fmt_writes_them(go: Toolchain, mode: Mode) -> None:
    printed = captured(go, mode)[1]["printed"]["maps"]
    maps = read(go, mode, "maps")
    netip = () if says_which_are_v4(go, mode) else ("Addrs", "Ports", "Prefixes")

    for name in ALIKE:
        if name not in netip:
            ours = [re.sub(r"\bnil\b", "<nil>", key.replace('"', "")) for key in keys_of(maps[name])]
            assert ours == [key for key, _ in entries_of(printed[name])]
    if netip:
        texts = {key.text for key, _ in maps["Addrs"].entries}
        assert texts == {"invalid IP", "::", "2001:db8::1", "fe80::1%eth0", "2001:0:0:1::1", None}


def test_what_an_interface_holds_says_its_type(go: Toolchain) -> None:
    maps = read(go, Mode.DEFAULT, "maps")
    found = set(keys_of(maps["Any"]))

    (pointer,) = [text for text in found if text.startswith("(*int)(0x")]
    assert found - {pointer} == {
        *("nil", "1", '"1"', '"0"', "true", "false"),
        *("int8(1)", "int64(1)", "float64(1)", "uint8(7)", "int32(120)", "complex64((0+1i))"),
        *("[2]interface {}([nil 1])", "[2]interface {}([nil 2])", "time.Duration(1000000000 (1s))"),
        'main.Point{1 0 {"" nil [false false]} 0}',
        "netip.Addr(10.0.0.1)",
    }


def test_no_two_keys_look_alike_however_narrow_the_screen(go: Toolchain) -> None:
    maps = read(go, Mode.STRIPPED, "maps", Limits(items=10))

    for _, found in maps.parts:
        for width in (24, 40, 80):
            texts = key_texts([key for key, _ in found.entries], width)
            assert len(set(texts)) == len(found.entries)
            assert max(map(len, texts)) <= width
    # Of keys of which not all was read, the address tells which they are.
    assert [
        text.partition(" at 0x")[0] for text in key_texts([key for key, _ in maps["Wide"].entries], 200)
    ] == ["[0 0 0 0 0 0 0 0 0 0 …]"] * 3
    lines = [line.plain.split() for line in value_lines(maps["Addrs"], 120)]
    assert ["[2001:db8::1]", "main.Mark", "2"] in lines


@both_modes
def test_numbers_are_written_as_fmt_writes_them(go: Toolchain, mode: Mode) -> None:
    printed = captured(go, mode)[1]["printed"]["numbers"]

    found = {name: [real_text(each) for each in of.elements] for name, of in read(go, mode, "numbers").parts}

    assert {name: len(texts) for name, texts in found.items()} == dict.fromkeys(printed, 30)
    assert found == {name: text[1:-1].split(" ") for name, text in printed.items()}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"),
        (-0.0, "-0"),
        (999999.0, "999999"),
        (1e6, "1e+06"),
        (1e21, "1e+21"),
        (0.0001, "0.0001"),
        (0.00001234, "1.234e-05"),
        (float("nan"), "NaN"),
        (float("inf"), "+Inf"),
        (float("-inf"), "-Inf"),
    ],
)
def test_a_float_has_the_fewest_digits_that_mean_it(value: float, text: str) -> None:
    assert float_text(value) == text


@both_modes
def test_errors_of_package_net_say_what_their_method_says(go: Toolchain, mode: Mode) -> None:
    printed = captured(go, mode)[1]["printed"]["errors"]

    found = {name: value.text for name, value in read(go, mode, "errors").parts}

    assert found == printed | {"Strange": None}  # the text of its address is code
    assert found["Dial"] == ("dial tcp 10.0.0.1:4000->[fe80::1%eth0]:443: connect: connection refused")


def test_a_message_is_a_quoted_string_on_the_screen(go: Toolchain) -> None:
    lines = [line.plain for line in value_lines(read(go, Mode.STRIPPED, "errors"), 120)]

    assert [line.partition("OpError")[2].strip() for line in lines if line.startswith("  Listen")] == [
        r'"listen: no \"quotes\"\n"'
    ]


def test_python_has_the_address_of_what_lies_deeper_than_asked_for(go: Toolchain) -> None:
    found = read(go, Mode.STRIPPED, "deep", Limits(depth=1))

    python = found.python
    queue = found["Queue"].elements[0]
    assert python == {
        "Slice": [each.target for each in found["Slice"].elements],
        "Map": {"a": found["Map"].entries[0][1].target, "e": {}, "n": None},
        "Empty": [[], None],
        "Queue": [queue.target],
        "Values": [1, 2, 3],
    }
    assert all(python["Slice"])
    assert python["Map"]["a"] > 0
    assert read(go, Mode.STRIPPED, "deep", Limits(depth=4)).python == {
        "Slice": [[[1, 2]], [[3]]],
        "Map": {"a": {"b": 1}, "e": {}, "n": None},
        "Empty": [[], None],
        "Queue": [[["q"]]],
        "Values": [1, 2, 3],
    }


def test_python_has_the_address_of_values_beyond_the_most_that_are_read(go: Toolchain) -> None:
    found = read(go, Mode.STRIPPED, "deep", Limits(depth=4, values=3))

    assert found["Queue"].note == "too many values"
    assert found.python["Queue"] == found["Queue"].address
