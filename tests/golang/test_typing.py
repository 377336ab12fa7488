"""Types of the objects of a real program: a known number of each kind, with and without debug information."""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import heldby
from heldby.golang.typing.labels import describe, label_of
from heldby.golang.typing.object_types import EVIDENCE_NAMES, ObjectTypes
from heldby.heap import Heap
from tests.support.build import MODES, Mode, build
from tests.support.process import running
from tests.support.toolchains import Toolchain

pytestmark = pytest.mark.ptrace

PROGRAM = Path(__file__).parent / "programs" / "types"

# Live objects by type, as the program makes them; none of these types is used for anything else.
EXPECTED = {
    # structs behind pointers, in a list and in a slice of pointers; to the last one only an interior pointer leads
    "main.Node": 100,
    "main.Outer": 40 + 1,
    "[]*main.Outer": 1,
    # behind an interface with methods: a pointer, and a value in a box of its own
    "main.Circle": 50 + 25,
    "main.Square": 30,
    "[]main.Shape": 1,
    # maps: 6, 200 and 5,000 entries; keys and elements of more than 128 bytes lie outside the groups
    "main.Value": 6 + 200 + 5000,
    "map[string]*main.Value": 3,
    "map.group[string]*main.Value": 1,
    "map[uint32]uint32": 1,
    "main.WideKey": 60,
    "main.WideElem": 60,
    # channels: what waits in the buffer
    "main.Message": 12,
    "chan *main.Message": 1,
    "chan int64": 1,
    # closures by their function, method values too
    "func main.build.func1": 25,
    "func main.(*Circle).Area-fm": 25,
    "main.Counter": 25,
    # sync.Map, generics, container/list, sync.Pool
    "main.Session": 64,
    "main.Pair[string,main.Leaf]": 15,
    "main.Item": 70,
    "list.Element": 70,
    "main.Buffer": 8,
    # behind an unsafe.Pointer: by its shape alone
    "main.Hidden": 20,
    # larger than 512 bytes: the allocator wrote the type down
    "main.Huge": 5,
    "[]main.Huge": 1,
    # without pointers: by who points there
    "main.Flat": 5,
    "[]main.Flat": 1,
    # a *time.Timer leads to more than a time.Timer
    "runtime.timeTimer": 9,
    "chan time.Time": 9,
    # contexts are linked by interfaces
    "context.valueCtx": 7,
    "context.cancelCtx": 7,
    # two packages with a type called Place
    "main.Place": 11,
    "names.Place": 11,
}
#: The last and the first release in which there are objects of a type; in the others there are none.
UNTIL = {"map[string]*main.Value buckets": "1.23"}
SINCE = {
    "map.group[string]*main.Value": "1.24",
    "map[string]*main.Value groups": "1.24",
    "sync.entry[interface {},interface {}]": "1.24",
    "runtime.timeTimer": "1.23",  # up to 1.22 it is a part of time.Timer
    "chan time.Time": "1.23",  # <-chan up to 1.22, as the field of time.Timer says
}
LEAVES = 100 + 3 * 40 + 50 + 25 + 64 + 15 + 20 + 5 + 1 + 7 + 11


@dataclass(frozen=True, slots=True)
class Typed:
    """A heap and the live objects in it by what they are called."""

    heap: Heap
    counts: Counter[str]

    @property
    def types(self) -> ObjectTypes:
        return self.heap.naming.types

    def named(self, name: str) -> np.ndarray:
        """Return the live objects of that name."""
        packed = [
            p for p in np.unique(self.types.packed).tolist() if describe(self.types.layouts.types, p) == name
        ]
        return np.flatnonzero(np.isin(self.types.packed, packed) & self.heap.live)

    def labels_from(self, name: str) -> Counter[str]:
        """Return the labels of all references of the objects of that name."""
        heap, found = self.heap, Counter[str]()
        for number in self.named(name).tolist():
            edges = np.arange(heap.graph.offsets[number], heap.graph.offsets[number + 1])
            sources = np.full(edges.size, number, np.uint32)
            found.update(heap.naming.label_text(int(label)) for label in heap.naming.labels(edges, sources))
        return found


@functools.cache
def read(go: Toolchain, mode: Mode) -> Typed:
    with running(build(PROGRAM, go, mode)) as program:
        heap = heldby.open(program.pid).heap
    types = heap.naming.types
    packed = types.packed[heap.live]
    names = {p: describe(types.layouts.types, p) for p in np.unique(packed).tolist()}
    return Typed(heap, Counter(names[p] for p in packed.tolist()))


def exists(name: str, typed: Typed) -> bool:
    """Tell whether the release of this process has objects of the type called `name`."""
    minor = typed.heap.process.runtime.version.removeprefix("go")[:4]
    return SINCE.get(name, minor) <= minor <= UNTIL.get(name, minor)


@pytest.fixture(scope="module", params=MODES, ids=lambda mode: mode.name.lower())
def typed(go: Toolchain, request: pytest.FixtureRequest) -> Typed:
    return read(go, request.param)


@pytest.mark.parametrize("name", EXPECTED)
def test_every_object_of_a_type_is_found_and_no_other(name: str, typed: Typed) -> None:
    assert typed.counts[name] == (EXPECTED[name] if exists(name, typed) else 0)


def test_values_that_many_types_refer_to_are_all_found(typed: Typed) -> None:
    assert typed.counts["main.Leaf"] == LEAVES


def test_a_type_of_which_another_looks_the_same_is_found_or_left_open(go: Toolchain) -> None:
    # main.Config and main.Message have equal sizes and equal pointers; without debug information nobody says
    # which of them the atomic pointers of a global array hold.
    assert read(go, Mode.DEFAULT).counts["main.Config"] == 20
    stripped = read(go, Mode.STRIPPED)
    assert stripped.counts["main.Config"] in (0, 20)
    assert stripped.counts["main.Message"] == 12


@pytest.mark.parametrize(("mode", "share"), [(Mode.DEFAULT, 0.999), (Mode.STRIPPED, 0.99)])
def test_nearly_all_live_bytes_have_a_type(mode: Mode, share: float, go: Toolchain) -> None:
    typed = read(go, mode)
    sizes = typed.heap.objects.sizes()
    live = typed.heap.live
    assert typed.types.typed_sizes(sizes)[live].sum() >= share * sizes[live].sum()


def test_an_ambiguous_or_partial_type_does_not_count_as_known(go: Toolchain) -> None:
    typed = read(go, Mode.STRIPPED)
    sizes = typed.heap.objects.sizes()
    known = typed.types.typed_sizes(sizes)
    open_question = typed.types.evidence == EVIDENCE_NAMES.index("choice")
    prefix = typed.types.evidence == EVIDENCE_NAMES.index("prefix")
    assert (known[open_question] == 0).all()
    assert (known[typed.types.packed == 0] == 0).all()
    assert (known[prefix] < sizes[prefix]).all()


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("main.Node", {".next", ".leaf"}),
        # Fields of an embedded struct are written as Go promotes them.
        ("main.Outer", {".left", ".named.right", ".many[*].left", ".Tags[*]"}),
        ("main.Value", {".label"}),
        ("map.group[string]*main.Value", {"[key]", "[*]"}),
        ("map[string]*main.Value groups", {"[key]", "[*]"}),
        ("map[string]*main.Value buckets", {"[key]", "[*]"}),
        ("map[string]*main.Value", {""}),
        ("main.Pair[string,main.Leaf]", {".Key", ".Value"}),
        ("main.Hidden", {".leaf", ".last"}),
        ("main.Huge", {".rows[*]", ".name"}),
        ("sync.entry[interface {},interface {}]", {"[key]", "[*]"}),
    ],
)
def test_references_are_named_by_field_key_and_element(name: str, labels: set[str], typed: Typed) -> None:
    if not exists(name, typed):
        pytest.skip("this release has no such objects")
    found = typed.labels_from(name)
    assert labels <= set(found)
    assert not {label for label in found if label.startswith("+")}


def test_captured_variables_have_their_names_where_the_debug_information_tells(go: Toolchain) -> None:
    # Debug information names them from Go 1.23 on.
    named = {".c"} if go.minor >= "1.23" else {".captured[0]"}
    assert set(read(go, Mode.DEFAULT).labels_from("func main.build.func1")) == named
    assert set(read(go, Mode.STRIPPED).labels_from("func main.build.func1")) == {".captured[0]"}
    assert set(read(go, Mode.STRIPPED).labels_from("func main.(*Circle).Area-fm")) == {".receiver"}


def test_a_word_beyond_a_value_is_named_by_its_offset(typed: Typed) -> None:
    number = typed.types.layouts.types.named("main.Node")[0]
    assert label_of(typed.types, number * 2, 0)[0] == ".next"
    assert label_of(typed.types, number * 2, 4096) == ("+0x1000", 0)
    assert label_of(typed.types, 0, 24) == ("+0x18", 0)


def test_types_do_not_depend_on_the_debug_information(go: Toolchain) -> None:
    # The types that the stripped build's objects get by evidence of their own are those of the default build.
    default, stripped = read(go, Mode.DEFAULT).counts, read(go, Mode.STRIPPED).counts
    assert {n: c for n, c in stripped.items() if n.startswith("main.") and " or " not in n} == {
        n: c for n, c in default.items() if n.startswith("main.") and (n != "main.Config" or stripped[n])
    }


def test_unknown_objects_say_what_is_known_of_them(typed: Typed) -> None:
    types = typed.types.layouts.types
    assert describe(types, 0, size=48, pointer_words=(0, 1)) == "unknown(48 B, pointers at 0,8)"
    assert describe(types, 0, size=32, pointer_words=()) == "unknown(32 B, no pointers)"
    assert describe(types, 0, size=16) == "unknown(16 B)"
