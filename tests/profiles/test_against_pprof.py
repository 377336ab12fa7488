"""Profiles weighed and compared: the numbers are those of `go tool pprof -top` on the same files."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from heldby.errors import UsageError
from heldby.profiles.comparison import subtracted
from heldby.profiles.pprof_read import parse_profile, read_profile
from heldby.profiles.pprof_write import FrameName, ProfileBuilder
from heldby.profiles.weights import Granularity, Weights, weigh
from tests.profiles.conftest import Served

Rows = list[tuple[str, int, int]]


def pprof_top(served: Served, *arguments: str) -> tuple[Rows, int]:
    """Return the rows (name, flat, cum) and the total that pprof prints."""
    command = [str(served.go.go), "tool", "pprof", "-top", "-unit=B", "-nodefraction=0", "-symbolize=none"]
    done = subprocess.run(
        [*command, *arguments], env=served.go.environment(), capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    start = next(at for at, line in enumerate(lines) if line.split()[:2] == ["flat", "flat%"])
    total = int(lines[start - 1].split(" of ")[1].split()[0].rstrip("B"))
    rows = []
    for line in lines[start + 1 :]:
        flat, _, _, cum, _, name = line.split(None, 5)
        name = name.removesuffix(" (inline)").removesuffix(" (partial-inline)")
        rows.append((name, int(flat.rstrip("B")), int(cum.rstrip("B"))))
    return rows, total


def as_rows(weights: Weights) -> Rows:
    def name(function: str, file: str, line: int) -> str:
        return f"{function} {file}:{line}" if line else function

    return [
        (name(*key), flat, cum)
        for key, flat, cum in zip(weights.keys, weights.flat.tolist(), weights.cum.tolist(), strict=True)
    ]


@pytest.mark.parametrize("sample_type", ["inuse_space", "alloc_space", "alloc_objects"])
@pytest.mark.parametrize(
    ("option", "granularity", "by_cum"),
    [("-functions", "function", False), ("-cum", "function", True), ("-lines", "line", False)],
)
def test_a_profile_weighs_what_pprof_says(
    served: Served, sample_type: str, option: str, granularity: Granularity, by_cum: bool
) -> None:
    profile = read_profile(served.after)
    index = profile.sample_index(sample_type)
    assert index is not None

    weights = weigh(profile, index, granularity, by_cum=by_cum)

    rows, total = pprof_top(served, option, f"-sample_index={sample_type}", str(served.after))
    assert len(rows) > 10
    assert as_rows(weights) == rows
    assert weights.total == total


@pytest.mark.parametrize("option", ["-base", "-diff_base"])
@pytest.mark.parametrize(("lines", "granularity"), [("-functions", "function"), ("-lines", "line")])
def test_a_comparison_weighs_what_pprof_says(
    served: Served, option: str, lines: str, granularity: Granularity
) -> None:
    profile = subtracted(
        read_profile(served.after), read_profile(served.before), keep_base=option == "-diff_base"
    )

    weights = weigh(profile, profile.sample_types.index(("inuse_space", "bytes")), granularity)

    rows, total = pprof_top(served, option, str(served.before), lines, str(served.after))
    assert min(flat for _, flat, _ in rows) < 0
    assert as_rows(weights) == rows
    assert weights.total == total


def test_known_amounts_are_found(served: Served) -> None:
    """Every allocation is sampled: 100 blocks of 8 KiB and 3 of 16 KiB; then 50 of 8 KiB and 7 of 32 KiB."""
    before, after = read_profile(served.before), read_profile(served.after)
    difference = subtracted(after, before, keep_base=False)

    flat = [
        {key[0]: value for key, value in zip(weights.keys, weights.flat.tolist(), strict=True)}["main.blocks"]
        for weights in (weigh(profile, 3) for profile in (before, after, difference))
    ]

    assert flat == [868_352, 638_976, -229_376]


def test_a_recursive_function_counts_once(served: Served) -> None:
    weights = weigh(read_profile(served.before), 3)

    assert ("main.recursive", 0, 3 * 16384) in as_rows(weights)


def test_packages_add_up_what_their_functions_weigh(served: Served) -> None:
    profile = read_profile(served.before)
    functions = as_rows(weigh(profile, 3))

    packages = {name: flat for name, flat, _ in as_rows(weigh(profile, 3, "package"))}

    assert packages["main"] == sum(flat for name, flat, _ in functions if name.startswith("main."))
    assert sum(packages.values()) == sum(flat for _, flat, _ in functions)


def test_files_add_up_what_their_lines_weigh(served: Served) -> None:
    profile = read_profile(served.before)
    lines = weigh(profile, 3, "line")

    files = weigh(profile, 3, "file")

    of_lines: dict[str, int] = {}
    for key, flat in zip(lines.keys, lines.flat.tolist(), strict=True):
        of_lines[key[1]] = of_lines.get(key[1], 0) + flat
    assert {key[1]: flat for key, flat in zip(files.keys, files.flat.tolist(), strict=True) if flat} == {
        file: flat for file, flat in of_lines.items() if flat
    }


def test_a_profile_minus_itself_is_empty(served: Served) -> None:
    profile = read_profile(served.after)

    assert len(subtracted(profile, profile, keep_base=False)) == 0
    kept = weigh(subtracted(profile, profile, keep_base=True), 3)
    assert (kept.keys, kept.total) == ((), weigh(profile, 3).total)


def test_profiles_of_different_things_are_not_compared(served: Served) -> None:
    with pytest.raises(UsageError, match="count different things"):
        subtracted(read_profile(served.after), read_profile(served.goroutines), keep_base=False)


def test_a_sample_type_is_found_as_pprof_finds_it() -> None:
    builder = ProfileBuilder((("space", "bytes"), ("objects", "count")), default_sample_type="space")
    builder.add((FrameName("main.main"),), (1, 2))
    profile = parse_profile(builder.to_bytes())

    wanted = (None, "objects", "inuse_space", "1", "2", "alloc_space")
    assert [profile.sample_index(name) for name in wanted] == [0, 1, 0, 1, None, None]


def test_a_sample_without_a_stack_weighs_in_the_total_only(tmp_path: Path, served: Served) -> None:
    builder = ProfileBuilder((("space", "bytes"),))
    builder.add((), (5,))
    builder.add((FrameName("main.main"),), (-3,))
    path = tmp_path / "odd.pb.gz"
    path.write_bytes(builder.to_bytes())

    weights = weigh(read_profile(path), 0)

    assert as_rows(weights) == [("main.main", -3, -3)]
    assert weights.total == 8
    assert pprof_top(served, str(path)) == ([("main.main", -3, -3)], 8)
