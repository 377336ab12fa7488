"""`heldby FILE.pb.gz` and `heldby URL`: found by content, compared, and what they say that a profile cannot."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import pytest

from heldby.profiles.pprof_write import FrameName, ProfileBuilder
from tests.cli.test_live_commands import Done, command

PUT = FrameName("example.com/a/store.(*Store).Put", file="/src/store/store.go", line=31)
MAIN = FrameName("main.main", file="/src/main.go", line=9)


def profile(put: int, main: int) -> bytes:
    builder = ProfileBuilder(
        (("alloc_space", "bytes"), ("inuse_space", "bytes")), time_nanos=1_800_000_000_000_000_000
    )
    builder.add((PUT, MAIN), (10 * put, put))
    builder.add((MAIN,), (10 * main, main))
    return builder.to_bytes()


@pytest.fixture
def before(tmp_path: Path) -> Path:
    path = tmp_path / "before"
    path.write_bytes(profile(1024, 3072))
    return path


@pytest.fixture
def after(tmp_path: Path) -> Path:
    path = tmp_path / "4242.core"  # the name says nothing
    path.write_bytes(profile(7168, 1024))
    return path


def rows(done: Done) -> list[dict[str, object]]:
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["rows"]
    assert isinstance(found, list)
    return found


def test_a_profile_is_known_by_its_content(after: Path) -> None:
    done = command(str(after), COLUMNS="80")

    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "4242.core · inuse_space 8.00 KiB in 2 stacks · taken 2027-01-15 08:00:00 UTC",
        "",
        "                                   cum",
        "    flat  share   sum       cum  share  function",
        "7.00 KiB    88%   88%  7.00 KiB    88%  example.com/a/store.(*Store).Put",
        "1.00 KiB    12%  100%  8.00 KiB   100%  main.main",
        "",
        "note: who holds it, and why RSS is larger, no profile says: heldby PID",
    ]
    assert command("profile", str(after), COLUMNS="80").stdout == done.stdout


def test_options_may_come_first_and_plain_protobuf_will_do(tmp_path: Path, after: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_bytes(gzip.decompress(after.read_bytes()))

    for arguments in (("--by", "package", str(plain)), ("-q", "--by=package", str(after))):
        found = rows(command(*arguments, "--format", "json"))
        assert [(row["package"], row["flat"], row["cum"]) for row in found] == [
            ("example.com/a/store", 7168, 7168),
            ("main", 1024, 8192),
        ]


@pytest.mark.parametrize(
    ("option", "share"), [("-base", 0.75), ("--base", 0.75), ("-diff_base", 1.5), ("--diff-base", 1.5)]
)
def test_a_base_is_subtracted_in_either_spelling(
    before: Path, after: Path, option: str, share: float
) -> None:
    """6144 more and 2048 less: shares are of 8192 changed bytes, or of the 4096 bytes of the base."""
    found = rows(command(str(after), option, str(before), "--format", "json"))

    assert [(row["function"], row["flat"], row["cum"], row["share"]) for row in found] == [
        (PUT.name, 6144, 6144, share),
        ("main.main", -2048, 4096, -share / 3),
    ]


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--base", "minus its base: inuse_space 4.00 KiB, 8.00 KiB up or down"),
        ("--diff-base", "minus its base: inuse_space 4.00 KiB, of the base's 4.00 KiB"),
    ],
)
def test_a_comparison_begins_with_the_difference_and_what_shares_are_of(
    before: Path, after: Path, option: str, said: str
) -> None:
    done = command(str(after), option, str(before), COLUMNS="120")

    assert done.stdout.splitlines()[0] == f"4242.core · {said} · taken 2027-01-15 08:00:00 UTC"


def test_a_profile_minus_itself_is_no_bytes_and_no_rows(after: Path) -> None:
    done = command(str(after), "--diff-base", str(after), COLUMNS="120")

    assert done.stdout.splitlines()[:3] == [
        "4242.core · minus its base: inuse_space 0 B, of the base's 8.00 KiB · taken 2027-01-15 08:00:00 UTC",
        "",
        "nothing found",
    ]


def test_lines_have_file_and_line_and_a_short_place_on_the_screen(after: Path) -> None:
    done = command(str(after), "--by", "line", "--format", "csv", "--sample-type", "alloc_space")
    found = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [(row["flat"], row["file"], row["line"]) for row in found] == [
        ("71680", "/src/store/store.go", "31"),
        ("10240", "/src/main.go", "9"),
    ]

    assert "store.(*Store).Put  store.go:31" in command(str(after), "--by", "line", COLUMNS="100").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message", "step"),
    [
        (
            ("{after}", "--base", "{before}", "--diff-base", "{before}"),
            2,
            "exclude each other",
            "one of them",
        ),
        (("{after}", "--sample-type", "cpu"), 2, "has no sample type cpu", "alloc_space, inuse_space"),
        (("{after}", "--gc"), 2, "--gc is for URLs", "leave --gc away"),
        (("{after}", "--profile", "heap"), 2, "--profile is for URLs", "leave --profile away"),
        (("{after}", "--base", "/no/such"), 2, "there is no file /no/such", "give a PID"),
        (("ftp://host/heap",), 2, "only http and https", "fetch it into a file"),
        (("profile", "/proc/self/exe"), 2, "no regular file|is a core or a program", ""),
        (("explain", "{after}"), 4, "it is a pprof profile", "heldby profile"),
        (("explain", "http://127.0.0.1:1"), 2, "serves profiles", "heldby profile http"),
        (("http://127.0.0.1:1",), 3, "Connection refused", "check host and port"),
    ],
)
def test_what_does_not_go_together_is_said(
    before: Path, after: Path, arguments: tuple[str, ...], code: int, message: str, step: str
) -> None:
    done = command(*(argument.format(after=after, before=before) for argument in arguments))

    assert done.returncode == code
    assert any(text in done.stderr for text in message.split("|"))
    assert step in done.stderr
    assert done.stdout == ""


def test_a_cut_off_profile_is_an_error_with_advice(after: Path) -> None:
    after.write_bytes(after.read_bytes()[:60])

    done = command(str(after))

    assert (done.returncode, done.stdout) == (4, "")
    assert "ends inside its gzip data" in done.stderr
    assert "next: fetch it again" in done.stderr


def test_names_from_a_profile_cannot_rule_the_terminal(after: Path) -> None:
    builder = ProfileBuilder((("inuse_space", "bytes"),))
    builder.add((FrameName("main.\x1b[31mred\u202e"),), (1,))
    after.write_bytes(builder.to_bytes())

    assert r"main.\x1b[31mred\u202e" in command(str(after)).stdout
