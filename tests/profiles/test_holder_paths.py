"""Reference paths as a profile: what pprof calls cumulative is what the place retains."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heldby.profiles.holder_paths import PathTree, holder_profile
from heldby.profiles.pprof_read import parse_profile
from heldby.profiles.profile import Profile
from tests.support.path_trees import small_tree
from tests.support.pprof_tool import go_pprof, needs_go, pprof_pages


def values(profile: Profile, name: str) -> dict[str, int]:
    """Return the flat value of each leaf frame."""
    index = [kind for kind, _unit in profile.sample_types].index(name)
    out: dict[str, int] = {}
    for sample in profile.samples:
        leaf = sample.stack[0].name
        out[leaf] = out.get(leaf, 0) + sample.values[index]
    return out


def cumulative(profile: Profile, name: str) -> dict[str, int]:
    """Return each frame's cumulative value as pprof counts it: once per sample."""
    index = [kind for kind, _unit in profile.sample_types].index(name)
    out: dict[str, int] = {}
    for sample in profile.samples:
        for frame in {frame.name for frame in sample.stack}:
            out[frame] = out.get(frame, 0) + sample.values[index]
    return out


def test_cumulative_bytes_are_retained_bytes() -> None:
    profile = parse_profile(holder_profile(small_tree()))

    assert cumulative(profile, "inuse_space") == {
        "main.manager": 800,
        "main.manager.paths": 784,
        "main.manager.paths[*]": 736,
        "main.manager.paths[*].Seen[*]": 600,
        "server.(*Server).gacc[*]": 200,
        "server.(*Server).gacc[*].left": 90,
        "server.(*Server).gacc[*].right": 90,
    }
    assert values(profile, "inuse_objects")["main.manager.paths[*].Seen[*]"] == 60


def test_retained_space_is_charged_where_bytes_pile_up() -> None:
    profile = parse_profile(holder_profile(small_tree()))

    assert values(profile, "retained_space") == {
        "main.manager": 16,
        "main.manager.paths": 48,
        "main.manager.paths[*]": 136,
        "main.manager.paths[*].Seen[*]": 600,
        "server.(*Server).gacc[*]": 200,  # forks into halves: it is the holder of both
        "server.(*Server).gacc[*].left": 0,
        "server.(*Server).gacc[*].right": 0,
    }


def test_holders_of_the_answer_take_the_place_of_the_rule() -> None:
    profile = parse_profile(holder_profile(small_tree(), holders=[1, 4, 6]))

    assert values(profile, "retained_space") == {
        "main.manager": 200,
        "main.manager.paths": 0,
        "main.manager.paths[*]": 0,
        "main.manager.paths[*].Seen[*]": 600,
        "server.(*Server).gacc[*]": 20,
        "server.(*Server).gacc[*].left": 90,
        "server.(*Server).gacc[*].right": 90,
    }


def test_stacks_have_the_root_outermost_and_labels_say_type_and_kind() -> None:
    profile = parse_profile(holder_profile(small_tree()))
    deepest = max(profile.samples, key=lambda sample: len(sample.stack))

    assert [frame.name for frame in deepest.stack] == [
        "main.manager.paths[*].Seen[*]",
        "main.manager.paths[*]",
        "main.manager.paths",
        "main.manager",
    ]
    assert [frame.file for frame in deepest.stack][:2] == ["string", "*main.Baseline"]
    assert deepest.labels == {"type": "string", "root_kind": "global"}
    assert profile.default_sample_type == "inuse_space"
    assert any("reference paths" in line for line in profile.comments)


def test_small_paths_fold_into_what_leads_to_them_and_no_byte_is_lost() -> None:
    profile = parse_profile(holder_profile(small_tree(), most_paths=4))

    assert values(profile, "inuse_space") == {
        "main.manager": 16,
        "main.manager.paths": 48,
        "main.manager.paths[*]": 736,
        "(too small to show)": 200,
    }
    assert "4 small paths are counted with the place that leads to them." in profile.comments


def test_a_tree_whose_parents_come_late_is_refused() -> None:
    tree = replace(small_tree(), parent=np.array([0, 2, 0, 0, 0, 0, 0, 0]))

    with pytest.raises(ValueError, match="a parent must come before its children"):
        holder_profile(tree)


def test_a_path_of_thousands_of_steps_keeps_both_ends_of_its_name() -> None:
    n = 500
    tree = PathTree(
        parent=np.maximum(np.arange(n) - 1, 0),
        count=np.ones(n, np.int64),
        shallow=np.ones(n, np.int64),
        retained=np.arange(n, 0, -1),
        path=lambda node: "".join(f".next{step}" for step in range(1, node + 1)),
        type_name=lambda _node: "main.Node",
    )

    leaf = max(parse_profile(holder_profile(tree)).samples, key=lambda sample: len(sample.stack)).stack[0]

    assert leaf.name.startswith(".next1.next2")
    assert leaf.name.endswith(".next499")
    assert len(leaf.name) <= 301


@st.composite
def trees(draw: st.DrawFn) -> PathTree:
    n = draw(st.integers(1, 30))
    parent = np.array([0] + [draw(st.integers(0, i - 1)) for i in range(1, n)], np.int64)
    shallow = np.array(draw(st.lists(st.integers(0, 99), min_size=n, max_size=n)), np.int64)
    retained = shallow.copy()
    for node in range(n - 1, 0, -1):
        retained[parent[node]] += retained[node]
    return PathTree(
        parent=parent,
        count=np.ones(n, np.int64),
        shallow=shallow,
        retained=retained,
        path=lambda node: f"n{node}",
        type_name=lambda node: f"T{node}",
    )


@given(trees(), st.integers(1, 30))
def test_all_sample_types_count_every_byte_once(tree: PathTree, most: int) -> None:
    profile = parse_profile(holder_profile(tree, most_paths=most))
    total = int(tree.shallow.sum())

    assert sum(values(profile, "inuse_space").values()) == total
    assert sum(values(profile, "retained_space").values()) == total
    assert sum(values(profile, "inuse_objects").values()) == tree.parent.size


@pytest.fixture(scope="module")
def profile_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("profile") / "held.pb.gz"
    path.write_bytes(holder_profile(small_tree(), executable="/opt/payments", build_id="c0ffee"))
    return path


@needs_go
def test_go_tool_pprof_shows_retained_bytes_as_cumulative(profile_file: Path) -> None:
    rows = [line.split() for line in go_pprof("-top", "-cum", "-unit=B", str(profile_file)).splitlines()]

    shown = {row[5]: (row[0], row[3]) for row in rows if len(row) == 6 and row[0].endswith("B")}
    assert shown["main.manager"] == ("16B", "800B")
    assert shown["main.manager.paths[*].Seen[*]"] == ("600B", "600B")
    assert shown["server.(*Server).gacc[*]"] == ("20B", "200B")  # (*Server) was not taken for C++


@needs_go
def test_go_tool_pprof_knows_the_sample_types_and_the_traces(profile_file: Path) -> None:
    raw = go_pprof("-raw", str(profile_file))
    traces = go_pprof("-traces", "-sample_index=retained_space", str(profile_file))

    assert "retained_space/bytes inuse_space/bytes[dflt] inuse_objects/count" in raw
    assert "1: 0x0/0x0/0x0 /opt/payments c0ffee [FN][FL][LN][IN]" in raw
    assert "      600B   main.manager.paths[*].Seen[*]\n             main.manager.paths[*]\n" in traces


@needs_go
def test_the_pages_of_go_tool_pprof_name_the_holder(profile_file: Path) -> None:
    for page in pprof_pages(profile_file, "top", "flamegraph"):
        assert "main.manager.paths[*].Seen[*]" in page
