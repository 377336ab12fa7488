"""Go values as they are read from memory, against a program whose values are written out here."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import heldby
from heldby.golang.functions.functions import FunctionTable
from heldby.golang.values import NOT_CAPTURED, Form, Limits, Value, ValueReader
from heldby.golang.values.known_structs import duration_text
from heldby.golang.values.places import path_at
from heldby.heap.heap import Heap
from heldby.heap.values import values_of
from heldby.memory.image import Image, Segment
from heldby.memory.paging_kernels import build_page_table
from tests.support.build import MODES, Mode, build
from tests.support.process import running, wait_until_still
from tests.support.toolchains import Toolchain

pytestmark = pytest.mark.ptrace

PROGRAM = Path(__file__).parent / "programs" / "values"
PAGE = 4096


@functools.cache
def captured(go: Toolchain, mode: Mode) -> tuple[Heap, Mapping[str, Any]]:
    with running(build(PROGRAM, go, mode)) as program:
        wait_until_still(program.pid)
        return heldby.open(program.pid).heap, dict(program.ready)


def read(go: Toolchain, mode: Mode, name: str, limits: Limits | None = None) -> Value:
    heap, ready = captured(go, mode)
    reader = values_of(heap)
    return reader.read_object(reader.object_at(int(ready[name])), limits)


both_modes = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name.lower())


@both_modes
def test_numbers_and_texts_are_what_the_program_wrote(go: Toolchain, mode: Mode) -> None:
    found = read(go, mode, "scalars")
    python = found.python

    assert found.type == "main.Scalars"
    assert math.isnan(python.pop("NaN"))
    assert python.pop("F32") == pytest.approx(0.1, abs=1e-8)
    assert python.pop("Long") == "x" * 256
    assert python == {
        "Yes": True,
        "No": False,
        "I": -1,
        "I8": -128,
        "I16": -32768,
        "I32": -(2**31),
        "I64": -(2**63),
        "U": 1,
        "U8": 255,
        "U16": 65535,
        "U32": 2**32 - 1,
        "U64": 2**64 - 1,
        "Ptr": 0xDEAD,
        "F64": 0.1,
        "C64": complex(1, -2),
        "C128": complex(0.5, 3),
        "Level": 3,
        "hidden": 42,
        "Text": "grüße",
        "Empty": "",
        "Escaped": 'a\n"b"\x1b[31m\udcff',
        "Wait": 5_401_500_000_000,
        "Month": 3,
        "Last": [3, -4],
    }
    assert (found["F32"].text, found["Wait"].text, found["Month"].text) == ("0.1", "1h30m1.5s", "March")
    assert (found["Long"].length, found["Long"].cut) == (5000, 5000 - 256)


@both_modes
def test_times_are_in_utc_to_the_nanosecond(go: Toolchain, mode: Mode) -> None:
    _, ready = captured(go, mode)

    texts = {name: value.text for name, value in read(go, mode, "times").parts}

    assert texts == {
        "Zero": "0001-01-01T00:00:00Z (zero)",
        "UTC": "2024-02-29T12:30:45.123456789Z",
        "Far": "378651801600 s and 0 ns after year 1",  # Python's calendar ends with the year 9999
        "Wall": ready["now"],
        "Zoned": "2024-02-29T12:30:45.123456789Z",
        "Old": "0001-01-02T00:00:00Z",
    }


@both_modes
def test_pointers_slices_and_interfaces_lead_to_their_values(go: Toolchain, mode: Mode) -> None:
    found = read(go, mode, "leading")
    _, ready = captured(go, mode)
    nine = {"Count": 9, "label": "nine"}
    zero = {"Count": 0, "label": ""}
    python = found.python

    assert python.pop("Unsafe") == ready["inner"]
    assert python.pop("Reader") == {"s": "read me", "i": 0, "prevRune": -1}
    assert {python.pop("Big")["neg"], python.pop("Negative")["neg"]} == {False, True}
    assert python == {
        "Nil": None,
        "To": nine,
        "Twice": nine,
        "Strings": ["s", ""],
        "NilSlice": None,
        "NoItems": [],
        "Slice": [{"Count": 1, "label": "one"}, {"Count": 2, "label": "two"}],
        "Part": [11, 12],
        "Bytes": b"bytes\0",
        "Array": [zero, {"Count": 1, "label": "in"}, zero],
        "Hash": b"\1\2\3\4",
        "Any": {"Count": 3, "label": "boxed"},
        "AnyText": "text",
        "AnyPtr": nine,
        "AnyNil": None,
        "AnyNumber": 123456,
        "Embedded": {"Deep": 6},
        "Raw": b'{"a":1}',
        "IP": bytes(10) + b"\xff\xff\xc0\x00\x02\x07",
    }
    assert (found["Part"].length, found["Part"].capacity) == (2, 5)
    assert [found["AnyPtr"].elements[0].type, found["Any"].elements[0].type] == ["*main.Inner", "main.Inner"]
    assert found["Reader"].elements[0].type == "*strings.Reader"
    assert (found["IP"].text, found["Big"].elements[0].text, found["Negative"].elements[0].text) == (
        "192.0.2.7",
        "123456789012345678901234567890",
        "-5",
    )
    assert found["To"]["Count"].data == 9
    assert found["AnyPtr"]["label"].python == "nine"


@both_modes
def test_maps_give_their_entries_whatever_they_are_made_of(go: Toolchain, mode: Mode) -> None:
    found = read(go, mode, "maps", Limits(items=2000))

    large = found["Large"]
    assert (large.length, large.python) == (1000, {number: str(number) for number in range(1000)})
    assert [key.data for key, _ in large.entries] == list(range(1000))  # by key, as fmt prints maps
    assert found["Wide"].python == {"w": [0] * 39 + [7]}
    assert found["Struct"].python == [([1, 2], {"Count": 4, "label": "four"})]
    assert [found[name].python for name in ("Nil", "Empty", "Small", "Set", "Any")] == [
        None,
        {},
        {"a": 1, "b": 2, "c": 3},
        {"only": {}},
        {1: True, "x": False},
    ]
    assert (found["Thin"].length, found["Thin"].python) == (1, {4321: 4321})


def test_only_as_many_entries_as_asked_for_are_read(go: Toolchain) -> None:
    large = read(go, Mode.STRIPPED, "maps", Limits(items=7))["Large"]

    assert (len(large.entries), large.length, large.cut) == (7, 1000, 993)
    assert all(element.data == str(key.data).encode() for key, element in large.entries)


@both_modes
def test_errors_say_what_go_says(go: Toolchain, mode: Mode) -> None:
    texts = {name: value.text for name, value in read(go, mode, "errors").parts}

    assert texts == {
        "Plain": "base",
        "Wrapped": "outer: base",
        "Joined": "base\nother",
        "Path": "open /no/such/file: no such file or directory",
        "Number": 'strconv.Atoi: parsing "x": invalid syntax',
        "Sys": "read: resource temporarily unavailable",
        "Errno": "no such file or directory",
        "Deadline": "context deadline exceeded",
        "Own": None,  # its message is code; its fields are shown
        "Nil": None,
    }
    assert read(go, mode, "errors")["Own"].python == {"Code": 3}


@both_modes
def test_channels_give_what_is_buffered_in_order(go: Toolchain, mode: Mode) -> None:
    found = read(go, mode, "channels")

    assert found["Nil"].is_nil
    assert {
        name: (value.length, value.capacity, value.python, value.text)
        for name, value in found.parts
        if name != "Nil"
    } == {
        "Empty": (0, 3, [], None),
        "Full": (2, 2, [1, 2], None),
        "Closed": (1, 1, [8], "closed"),
        "Ring": (2, 3, ["r", "s"], None),
        "Waited": (0, 0, [], "receivers wait"),
        "Receive": (2, 2, [1, 2], None),
    }


@both_modes
def test_functions_have_names_and_closures_what_they_captured(go: Toolchain, mode: Mode) -> None:
    found = read(go, mode, "funcs")

    assert [found[name].text for name in ("Plain", "Closure", "Method")] == [
        "main.seven",
        "main.closure.func1",
        "main.(*Inner).describe-fm",
    ]
    assert found["Nil"].is_nil
    captures = [value.python for _, value in found["Closure"].parts]
    assert captures == [{"Count": 9, "label": "nine"}, "second", 3]
    assert found["Method"].parts[0][1].python == {"Count": 9, "label": "nine"}


@both_modes
def test_locks_and_counters_say_their_state(go: Toolchain, mode: Mode) -> None:
    found = read(go, mode, "locks")

    states = [found[name].text for name in ("Free", "Held", "Reading", "Writing", "Group", "Done", "Not")]
    assert states == [
        "unlocked",
        "locked",
        "2 reading",
        "locked for writing",
        "counter 2",
        "done",
        "not done",
    ]
    assert [found[name].python for name in ("I64", "Bool", "Ptr", "Any")] == [
        -3,
        True,
        {"Count": 9, "label": "nine"},
        "stored",
    ]


def test_what_contains_itself_ends(go: Toolchain) -> None:
    found = read(go, Mode.STRIPPED, "loop", Limits(depth=32))

    again = found["Next"].elements[0]["Next"]
    assert (again.note, again.target) == ("on the way here already", found["Next"].target)
    assert found["All"].elements[0].elements[0].note == "on the way here already"


def test_no_deeper_than_asked_for(go: Toolchain) -> None:
    found = read(go, Mode.STRIPPED, "leading", Limits(depth=0))

    assert (found["To"].note, found["To"].elements) == ("deeper than asked for", ())
    assert (found["Slice"].length, found["Slice"].elements) == (2, ())
    assert found["AnyText"].python == "text"


@both_modes
def test_objects_of_other_kinds_are_read_by_themselves(go: Toolchain, mode: Mode) -> None:
    assert [value.python for value in read(go, mode, "run").elements][:2] == [
        {"Count": 1, "label": "r1"},
        {"Count": 2, "label": "r2"},
    ]
    assert read(go, mode, "header").python == {"a": 1, "b": 2, "c": 3}
    assert read(go, mode, "channel").python == ["r", "s"]
    assert read(go, mode, "closure").text == "main.closure.func1"


def test_bytes_that_no_string_is_known_to_use_are_memory(go: Toolchain) -> None:
    found = read(go, Mode.STRIPPED, "text")

    # Seven bytes of text in a slot of eight, or in a tiny block: what follows them means nothing.
    assert found.form is Form.MEMORY


def _altered(
    heap: Heap, change: Callable[[bytearray, Callable[[int], int]], list[Segment] | None]
) -> ValueReader:
    """Return a reader of the heap's memory after `change` has worked on its bytes."""
    runtime = heap.process.runtime
    image = runtime.image
    data = bytearray(image.buffers[0].tobytes())

    def place(addr: int) -> int:
        segment = image.segment_at(addr)
        assert segment is not None
        assert segment.buffer == 0
        return segment.offset + addr - segment.start

    segments = change(data, place) or list(image.segments)
    changed = Image((np.frombuffer(bytes(data), np.uint8), *image.buffers[1:]), segments)
    changed_runtime = replace(runtime, image=changed, pages=build_page_table(changed))
    types = heap.naming.types
    return ValueReader(changed_runtime, heap.objects, types, lambda: FunctionTable(runtime))


def test_lengths_that_cannot_be_are_said_and_not_followed(go: Toolchain) -> None:
    heap, ready = captured(go, Mode.STRIPPED)
    leading, scalars, channels = (
        read(go, Mode.STRIPPED, name) for name in ("leading", "scalars", "channels")
    )

    def change(data: bytearray, place: Callable[[int], int]) -> None:
        for addr, word in (
            (leading["Slice"].address + 8, 1 << 62),
            (leading["Part"].address + 16, 1 << 40),
            (leading["Bytes"].address + 8, 100),
            (scalars["Text"].address + 8, 1 << 63),
            (scalars["Long"].address + 8, 1 << 20),
            (int(channels["Ring"].target or 0), 1 << 50),
        ):
            data[place(addr) : place(addr) + 8] = word.to_bytes(8, "little")

    reader = _altered(heap, change)
    at = {name: reader.object_at(int(ready[name])) for name in ("leading", "scalars", "channels")}
    torn = "its length does not fit its memory"

    found = reader.read_object(at["leading"])
    assert [found[name].note for name in ("Slice", "Part", "Bytes")] == [torn] * 3
    assert [found[name].length for name in ("Slice", "Part", "Bytes")] == [None] * 3
    assert found["Strings"].python == ["s", ""]
    texts = reader.read_object(at["scalars"])
    assert [(texts[name].note, texts[name].data) for name in ("Text", "Long")] == [(torn, None)] * 2
    assert texts["Text"].python is NOT_CAPTURED
    assert reader.read_object(at["channels"])["Ring"].note == torn


def test_what_was_not_captured_is_said_and_no_value(go: Toolchain) -> None:
    heap, ready = captured(go, Mode.STRIPPED)
    scalars = read(go, Mode.STRIPPED, "scalars")
    page = (scalars["Long"].target or 0) & -PAGE
    large = read(go, Mode.STRIPPED, "maps")["Large"]

    def without(addr: int) -> ValueReader:
        image = heap.process.runtime.image
        segment = image.segment_at(addr)
        assert segment is not None
        kept = [each for each in image.segments if each is not segment]
        kept.append(replace(segment, end=addr))
        moved = segment.offset + addr + PAGE - segment.start if segment.buffer >= 0 else 0
        kept.append(Segment(addr + PAGE, segment.end, segment.buffer, moved))
        return _altered(heap, lambda _data, _place: kept)

    reader = without(page)
    found = reader.read_object(reader.object_at(int(ready["scalars"])))
    assert (found["Long"].note, found["Long"].data, found["Long"].python) == (
        "not captured",
        None,
        NOT_CAPTURED,
    )
    reader = without((large.target or 0) & -PAGE)
    found = reader.read_object(reader.object_at(int(ready["maps"])))
    assert (found["Large"].form, found["Large"].python) == (Form.MISSING, NOT_CAPTURED)


def test_words_that_were_changed_at_random_never_stop_a_reading(go: Toolchain) -> None:
    heap, ready = captured(go, Mode.STRIPPED)
    chance = np.random.default_rng(1)
    names = ("leading", "maps", "channels", "funcs", "errors", "locks", "loop")
    words = (0, 1, (1 << 64) - 1, 1 << 47, 1 << 62, 4096, int(ready["leading"]), int(ready["code"]))

    for _ in range(6):

        def change(data: bytearray, place: Callable[[int], int]) -> None:
            reader = values_of(heap)
            for _ in range(60):
                vertex = reader.object_at(int(ready[names[int(chance.integers(len(names)))]]))
                start, size = reader.contents_of(vertex)
                at = place(start + 8 * int(chance.integers(size // 8)))
                data[at : at + 8] = int(chance.choice(np.array(words, np.uint64))).to_bytes(8, "little")

        reader = _altered(heap, change)
        for name in names:
            found = reader.read_object(reader.object_at(int(ready[name])), Limits(depth=5))
            assert found.type.startswith("main.")
            assert repr(found.python)


def test_a_place_inside_a_value_has_a_path(go: Toolchain) -> None:
    heap, _ = captured(go, Mode.STRIPPED)
    found = read(go, Mode.STRIPPED, "leading")
    types = heap.naming.types.layouts.types
    number = types.named("main.Leading")[0]
    begin = found.address

    assert path_at(types, number, found["Array"].elements[1]["label"].address - begin) == ".Array[1].label"
    assert path_at(types, number, found["Embedded"].address - begin) == ".Embedded.Deep"
    assert path_at(types, number, 1 << 20) == ""


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1100, "1.1µs"),
        (2_200_000, "2.2ms"),
        (3_300_000_000, "3.3s"),
        (245_000_000_000, "4m5s"),
        (18_367_000_000_000, "5h6m7s"),
        (480_000_000_001, "8m0.000000001s"),
        ((1 << 63) - 1, "2562047h47m16.854775807s"),
        (-(1 << 63), "-2562047h47m16.854775808s"),
    ],
)
def test_durations_are_written_as_go_writes_them(nanoseconds: int, text: str) -> None:
    # The table of time/time_test.go, durationTests.
    assert duration_text(nanoseconds) == text
