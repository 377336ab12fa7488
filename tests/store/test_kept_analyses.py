"""An analysis is kept beside its capture, and a heap that is opened from it answers as a fresh one does."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow.parquet as pyarrow
import pytest

import heldby
from heldby.analysis.answering import answer_of
from heldby.analysis.drilldown.goroutines import goroutines, read_goroutine_stacks
from heldby.analysis.drilldown.paths import paths, paths_of_all_roots
from heldby.analysis.drilldown.references import references
from heldby.analysis.drilldown.top import DIMENSIONS, top
from heldby.analysis.drilldown.tree import merged_tree, object_tree
from heldby.analysis.drilldown.what_if import what_if
from heldby.analysis.exports.exporting import holder_profile_of
from heldby.analysis.holding.holder_tree import HolderTree, build_holder_tree
from heldby.analysis.table import Table
from heldby.api import open_kept
from heldby.cli.main import main
from heldby.golang.types.type_layout import STRING
from heldby.heap import Heap
from heldby.progress import QUIET, Phase
from heldby.render.json_output import to_json
from heldby.render.table_formats import table_to_json
from heldby.sql.answers import ask
from heldby.sql.database import Database
from heldby.store import folder as store_folder
from heldby.store.contents import DOCUMENTS, TABLES, file_of
from heldby.store.folder import MANIFEST, user_folder
from heldby.store.reader import Reader
from tests.support.build import Mode

pytestmark = pytest.mark.ptrace

Captures = Callable[[str, Mode], Path]

#: Nameless variables, whose users the code tells; types that debug information alone knows.
PROGRAMS = (("shared", Mode.STRIPPED), ("closures", Mode.DEFAULT), ("specials", Mode.DEFAULT))
FILES = (*(file_of(name) for name in TABLES), *(f"{name}.json" for name in DOCUMENTS))


class Phases:
    """A `Progress` that remembers what was worked on."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def phase(self, name: str, total: int | None = None, unit: str = "") -> AbstractContextManager[Phase]:
        self.names.append(name)
        return QUIET.phase(name, total, unit)


@pytest.fixture
def capture(captures: Captures, tmp_path: Path) -> Path:
    """A capture of a small program, with nothing beside it."""
    path = tmp_path / "shared.core"
    shutil.copy2(captures("shared", Mode.DEFAULT), path)
    return path


def place_of(capture: Path) -> Path:
    return capture.with_name(capture.name + ".heldby")


def opened(capture: Path) -> tuple[Heap, list[str]]:
    """Open a capture and keep its analysis; return the heap and what was said."""
    words: list[str] = []
    found = open_kept(capture, tell=words.append)
    answer_of(found.heap)
    found.keep()
    return found.heap, words


def json_of(heap: Heap) -> str:
    return to_json(answer_of(heap))


@pytest.mark.parametrize(("name", "mode"), PROGRAMS)
def test_a_kept_heap_is_the_fresh_one_in_every_number_and_name(
    captures: Captures, name: str, mode: Mode
) -> None:
    path = captures(name, mode)
    # Another process keeps it, with hashes of texts of its own: nothing may depend on the order of a set.
    subprocess.run(
        [sys.executable, "-m", "heldby.cli.main", str(path), "-q", "--format", "json"],
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
        stdout=subprocess.DEVNULL,
    )
    fresh = heldby.open(path, cache=False).heap
    json_of(fresh)  # names are numbered while the question is answered, in that order
    words: list[str] = []
    kept = open_kept(path, tell=words.append)

    assert not kept.wanted
    assert differences(fresh, kept.heap) == []
    assert json_of(kept.heap) == json_of(fresh)
    assert holder_profile_of(kept.heap) == holder_profile_of(fresh)
    assert words == []


@pytest.mark.parametrize(("name", "mode"), PROGRAMS)
def test_the_questions_have_the_same_answers_from_a_kept_heap(
    captures: Captures, name: str, mode: Mode
) -> None:
    fresh = whole(captures(name, mode))
    holder = str(merged_tree(fresh, depth=1, most=3)["path"].to_list()[0])
    kind = str(top(fresh, "type", limit=1)["type"].to_list()[0])
    addr = int(object_tree(fresh, depth=2)["addr"].values[-1])
    questions: dict[str, Callable[[Heap], Table]] = {
        **{f"top {by}": partial(top, by=by, limit=20) for by in DIMENSIONS},
        "tree": partial(merged_tree, depth=6, most=20),
        "objects": partial(object_tree, depth=3),
        "paths": partial(paths, text=kind),
        "strong paths": partial(paths, text=kind, strong=True),
        "all roots": partial(paths_of_all_roots, text=hex(addr)),
        "refs in": partial(references, addr=addr, into=True),
        "refs out": partial(references, addr=addr, into=False),
        "goroutines": lambda heap: goroutines(read_goroutine_stacks(heap), limit=20),
        "what if": partial(what_if, without=[holder]),
    }
    for question, ask_it in questions.items():
        # Each with a heap of its own, as each command has.
        kept = open_kept(captures(name, mode), tell=pytest.fail)
        assert not kept.wanted
        assert table_to_json(ask_it(kept.heap)) == table_to_json(ask_it(fresh)), question


def differences(fresh: Heap, kept: Heap) -> list[str]:
    """Return what differs, by name."""
    found: list[str] = []

    def compare(name: str, a: object, b: object) -> None:
        same = np.array_equal(a, b) if isinstance(a, np.ndarray) and isinstance(b, np.ndarray) else a == b
        if not same:
            found.append(name)

    def compare_records(name: str, a: object, b: object, *without: str) -> None:
        for field in dataclasses.fields(a):  # type: ignore[arg-type]
            if field.name not in without:
                compare(f"{name}.{field.name}", getattr(a, field.name), getattr(b, field.name))

    compare_records("objects", fresh.objects, kept.objects, "spans", "index")
    compare_records("spans", fresh.objects.spans, kept.objects.spans)
    compare_records("graph", fresh.graph, kept.graph)
    compare_records("roots", fresh.roots, kept.roots)
    compare_records("variables", fresh.variables, kept.variables)
    compare_records("specials", fresh.specials, kept.specials)
    compare_records("profile", fresh.profile, kept.profile)
    compare_records("deferred", fresh.deferred, kept.deferred)
    compare_records("tree", fresh.tree, kept.tree)
    compare_records("sets", fresh.retained_sets, kept.retained_sets, "graph", "tree", "retained", "counts")
    compare_records("paths", build_holder_tree(fresh).paths, build_holder_tree(kept).paths)
    for name in (
        "words",
        "sizes",
        "live",
        "retained_bytes",
        "goroutine_count",
        "caveats",
        "losses",
        "object_count",
    ):
        compare(name, getattr(fresh, name), getattr(kept, name))
    some = np.arange(len(fresh.objects) + 1, dtype=np.uint32)[:: len(fresh.objects) // 5000 + 1]
    compare("addresses of some", fresh.objects.addr[some], kept.objects.address_of(some))
    compare("spans of some", fresh.objects.span[some], kept.objects.span_of(some))
    compare("sizes of some", fresh.sizes[some], kept.sizes_of(some))
    last = len(fresh.objects)
    compare("marked", bool(fresh.objects.marked[last]), kept.objects.is_marked(last))
    compare("find", fresh.objects.find(fresh.objects.addr[1:]), kept.objects.find(fresh.objects.addr[1:]))
    every = np.arange(len(fresh.objects) + 1, dtype=np.uint32)
    compare("types", fresh.naming.types_of(every), kept.naming.types_of(every))
    numbers = np.unique(fresh.naming.types_of(every)).tolist()
    compare("type names", [*map(fresh.naming.type_name, numbers)], [*map(kept.naming.type_name, numbers)])
    edges = np.arange(fresh.graph.edge_count, dtype=np.int64)
    sources = np.repeat(np.arange(fresh.graph.node_count, dtype=np.uint32), np.diff(fresh.graph.offsets))
    labels = [
        [heap.naming.label_text(label) for label in heap.naming.labels(edges, sources).tolist()]
        for heap in (fresh, kept)
    ]
    compare("labels", *labels)
    types, again = fresh.naming.types.layouts.types, kept.naming.types.layouts.types
    compare("types", [types[n] for n in range(len(types))], [again[n] for n in range(len(types))])
    compare("code", fresh.code is None, kept.code is None)
    if fresh.code is not None and kept.code is not None:
        starts = fresh.variables.start.tolist()
        compare(
            "users",
            [fresh.code.users(start, start + 8) for start in starts],
            [kept.code.users(start, start + 8) for start in starts],
        )
    return found


def test_every_field_of_a_heap_is_kept_or_read_again(capture: Path) -> None:
    opened(capture)
    heap, _ = opened(capture)

    for field in dataclasses.fields(Heap):
        getattr(heap, field.name)


def test_the_first_question_to_a_kept_heap_may_be_what_its_words_are(capture: Path) -> None:
    fresh, _ = opened(capture)
    kept, _ = opened(capture)
    sources = np.repeat(np.arange(fresh.graph.node_count, dtype=np.uint32), np.diff(fresh.graph.offsets))
    edges = np.flatnonzero(sources <= fresh.object_count)

    kinds = kept.naming.word_kinds(edges, sources[edges])
    targets = kept.naming.word_targets(edges, sources[edges])

    assert (kinds == STRING).sum() > 100
    assert np.array_equal(kinds, fresh.naming.word_kinds(edges, sources[edges]))
    assert np.array_equal(targets, fresh.naming.word_targets(edges, sources[edges]))


def test_a_second_question_analyses_nothing(capture: Path) -> None:
    opened(capture)
    phases = Phases()
    heap = open_kept(capture, tell=pytest.fail, progress=phases).heap
    answer_of(heap, progress=phases)
    build_holder_tree(heap)
    _ = heap.retained_bytes

    assert phases.names == ["finding the Go runtime"]


def test_a_question_reads_only_the_columns_that_it_needs(capture: Path) -> None:
    opened(capture)
    read: list[str] = []
    plain = Reader.columns

    def columns(self: Reader, table: str, *names: str) -> object:
        read.extend(f"{table}.{name}" for name in names or ("*",))
        return plain(self, table, *names)

    with mock.patch.object(Reader, "columns", columns):
        heap = open_kept(capture, tell=pytest.fail).heap
        answer_of(heap)
        assert read == []
        _ = heap.live
        assert read == ["vertices.number"]
        live_bytes = int(heap.objects.sizes().sum(where=heap.live))
        assert heap.result(HolderTree, pytest.fail).paths.retained[0] == live_bytes
        assert read == ["vertices.number", "paths.*"]
        _ = heap.graph.targets, heap.graph.targets
        assert read == ["vertices.number", "paths.*", "edges.target"]


#: What a question may read of a kept heap: nothing that grows with the heap unless the answer depends on it.
COLUMNS_READ = (
    ("SELECT * FROM holders", set()),
    ("SELECT count(*) FROM objects", set()),
    ("SELECT sum(bytes) FROM objects", set()),
    ("SELECT count(*) FROM objects WHERE live", {"vertices.number"}),
    ("SELECT type, count(*) FROM objects GROUP BY ALL", {"objects.type", "programs.*"}),
    (
        "SELECT max(retained_bytes) FROM objects",
        {"vertices.number", "reached.retained_bytes"},
    ),
    ("SELECT count(*) FROM spans", set()),
    ("SELECT name FROM roots", {"roots.*", "slots.*"}),
    ("SELECT count(*) FROM goroutines", set()),
)


@pytest.mark.parametrize(("query", "expected"), COLUMNS_READ)
def test_a_query_reads_no_column_that_its_answer_does_not_depend_on(
    captures: Captures, query: str, expected: set[str]
) -> None:
    capture = captures("shared", Mode.DEFAULT)
    whole(capture)
    read: set[str] = set()
    plain = Reader.columns

    def columns(self: Reader, table: str, *names: str) -> object:
        read.update(f"{table}.{name}" for name in names or ("*",))
        return plain(self, table, *names)

    heap = open_kept(capture, tell=pytest.fail).heap
    with mock.patch.object(Reader, "columns", columns):
        ask(Database(heap), query)

    assert read == expected


def test_only_the_user_can_read_what_is_kept(capture: Path) -> None:
    opened(capture)
    place = place_of(capture)

    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in place.iterdir()} == {0o600}
    assert {path.name for path in place.iterdir()} == {MANIFEST, *FILES}
    assert [path.name for path in capture.parent.iterdir() if path.name.startswith(".")] == []


def test_a_capture_that_changed_is_analysed_again(capture: Path) -> None:
    first, _ = opened(capture)
    os.utime(capture, ns=(1, 1))
    second, words = opened(capture)
    third = open_kept(capture, tell=pytest.fail)

    assert words == [f"the kept analysis {place_of(capture)} is for another capture: analysing again"]
    assert not third.wanted
    assert json_of(first) == json_of(second) == json_of(third.heap)


@pytest.mark.parametrize(
    ("name", "value"), [("analysis_version", lambda: "0.0.1-feedface"), ("FORMAT", 2)], ids=["code", "format"]
)
def test_what_another_heldby_found_is_not_used(capture: Path, name: str, value: object) -> None:
    with mock.patch(f"heldby.store.opening.{name}", value):
        opened(capture)
    _, words = opened(capture)

    assert words == [f"the kept analysis {place_of(capture)} is another heldby's: analysing again"]
    assert open_kept(capture, tell=pytest.fail).wanted is False


def cut_off(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x40
    path.write_bytes(data)


DAMAGES = (cut_off, flip, Path.unlink)
#: Each damage to some files, each file with some damage, all damages to those of each kind.
DAMAGED = sorted(
    {(name, DAMAGES[number % 3]) for number, name in enumerate(FILES)}
    | {(name, damage) for name in ("edges.parquet", "names.json", MANIFEST) for damage in DAMAGES},
    key=lambda damaged: (damaged[0], damaged[1].__name__),
)


@pytest.mark.parametrize(
    ("name", "damage"), DAMAGED, ids=[f"{name}-{damage.__name__}" for name, damage in DAMAGED]
)
def test_damaged_files_are_told_and_replaced_and_change_no_answer(
    captures: Captures, tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    capture = tmp_path / "shared.core"
    shutil.copy2(captures("shared", Mode.DEFAULT), capture)
    good = whole(captures("shared", Mode.DEFAULT))
    shutil.copytree(place_of(captures("shared", Mode.DEFAULT)), place_of(capture))
    damage(place_of(capture) / name)
    words: list[str] = []
    found = open_kept(capture, tell=words.append)

    assert differences(good, found.heap) == []
    assert json_of(found.heap) == json_of(good)
    if name == MANIFEST and damage is Path.unlink:
        assert words == []  # as if nothing were kept; but the folder might be someone's
    else:
        assert len(words) == 1
        assert str(place_of(capture)) in words[0]
        assert found.keep() == place_of(capture)
        assert not open_kept(capture, tell=pytest.fail).wanted


_WHOLE: dict[Path, Heap] = {}


def whole(capture: Path) -> Heap:
    """Return the fresh heap of a capture, whose analysis is kept."""
    if capture not in _WHOLE:
        _WHOLE[capture], _ = opened(capture)
    return _WHOLE[capture]


def test_a_place_that_is_something_else_is_left_alone(capture: Path, tmp_path: Path) -> None:
    place_of(capture).write_text("a letter")
    with mock.patch.dict(os.environ, XDG_CACHE_HOME=str(tmp_path / "cache")):
        _, words = opened(capture)
        base = user_folder()
        assert base is not None
        [kept] = base.iterdir()
        again = open_kept(capture, tell=pytest.fail)

    assert place_of(capture).read_text() == "a letter"
    assert words == [f"the analysis is kept in {kept}: {place_of(capture)}: it exists and is no analysis"]
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    assert not again.wanted


def test_without_any_place_the_answer_is_given_all_the_same(capture: Path, tmp_path: Path) -> None:
    place_of(capture).write_text("a letter")
    (tmp_path / "cache").write_text("no folder")
    with mock.patch.dict(os.environ, XDG_CACHE_HOME=str(tmp_path / "cache")):
        heap, words = opened(capture)

    assert heap.object_count > 0
    assert words == [f"the analysis is not kept: {place_of(capture)}: it exists and is no analysis"]


def test_what_another_user_kept_is_not_read(capture: Path) -> None:
    opened(capture)
    with mock.patch("heldby.store.folder.os.geteuid", return_value=os.getuid() + 1):
        assert open_kept(capture, tell=pytest.fail).wanted


def test_a_link_is_not_followed(capture: Path, tmp_path: Path) -> None:
    opened(capture)
    place_of(capture).rename(tmp_path / "elsewhere")
    place_of(capture).symlink_to(tmp_path / "elsewhere")

    assert open_kept(capture, tell=pytest.fail).wanted


def test_a_full_disk_is_told_and_leaves_nothing(capture: Path, tmp_path: Path) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", str(capture.parent))

    (tmp_path / "cache").write_text("no folder")
    with (
        mock.patch.object(store_folder, "write_table", full),
        mock.patch.dict(os.environ, XDG_CACHE_HOME=str(tmp_path / "cache")),
    ):
        _, words = opened(capture)

    assert words == [f"the analysis is not kept: {capture.parent}: No space left on device"]
    assert {path.name for path in capture.parent.iterdir()} == {capture.name, "cache"}


def test_no_cache_reads_and_writes_nothing(capture: Path) -> None:
    heldby.open(capture, cache=False)
    assert not place_of(capture).exists()

    opened(capture)
    (place_of(capture) / MANIFEST).write_text("[]")
    assert heldby.open(capture, cache=False).heap.object_count > 0
    assert (place_of(capture) / MANIFEST).read_text() == "[]"


def test_what_a_killed_process_left_is_removed_after_an_hour(capture: Path) -> None:
    left = [capture.parent / f".{capture.name}.heldby.{name}" for name in ("old", "young")]
    for path in left:
        path.mkdir()
    os.utime(left[0], (0, 0))
    opened(capture)

    assert [path.exists() for path in left] == [False, True]


def test_a_capture_that_changes_while_it_is_analysed_is_not_kept(capture: Path) -> None:
    words: list[str] = []
    found = open_kept(capture, tell=words.append)
    os.utime(capture, ns=(1, 1))

    assert found.keep() is None
    assert words == [f"{capture} changed meanwhile: its analysis is not kept"]
    assert not place_of(capture).exists()


def test_the_manifest_holds_nothing_of_the_process_s_memory(capture: Path) -> None:
    opened(capture)
    manifest = json.loads((place_of(capture) / MANIFEST).read_text())

    assert sorted(manifest) == [
        *("analysis", "capture", "documents", "executable", "facts", "format", "sizes", "symbols", "tables")
    ]
    assert manifest["executable"] is None  # it is in the capture


def test_every_table_is_parquet_that_another_engine_reads(capture: Path) -> None:
    heap, _ = opened(capture)
    for table, columns in TABLES.items():
        found = pyarrow.read_table(place_of(capture) / file_of(table), page_checksum_verification=True)

        assert found.column_names == [column.name for column in columns]
        for column in columns:
            assert found[column.name].to_pylist() == column.of(heap).tolist(), (table, column.name)


def test_ctrl_c_while_it_is_kept_comes_after_the_answer_and_is_no_error(
    capture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with mock.patch.object(store_folder, "write_table", side_effect=KeyboardInterrupt):
        code = main([str(capture)])

    said = capsys.readouterr()
    assert code == 0
    assert "WHO HOLDS IT" in said.out
    assert "the analysis is not kept" in said.err
    assert {path.name for path in capture.parent.iterdir()} == {capture.name}


def test_two_processes_that_keep_the_same_analysis_leave_one_that_is_whole(capture: Path) -> None:
    command = [sys.executable, "-m", "heldby.cli.main", str(capture), "-q", "--format", "json"]
    running = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(2)]

    assert [process.wait(timeout=120) for process in running] == [0, 0]
    assert not open_kept(capture, tell=pytest.fail).wanted
    assert {path.name for path in capture.parent.iterdir()} == {capture.name, place_of(capture).name}
