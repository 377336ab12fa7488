"""Profiles: what is written is read again, `go tool pprof` agrees, and damaged files give errors."""

from __future__ import annotations

import contextlib
import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heldby.errors import FormatError, HeldbyError, LimitExceeded, Truncated
from heldby.profiles import pprof_read, protobuf_read
from heldby.profiles.pprof_read import parse_profile, read_profile
from heldby.profiles.pprof_write import FrameName, ProfileBuilder
from heldby.profiles.schema import profile_class

TYPES = (("inuse_space", "bytes"), ("inuse_objects", "count"))


def small_profile() -> bytes:
    builder = ProfileBuilder(
        TYPES,
        default_sample_type="inuse_space",
        executable="/opt/payments",
        build_id="c0ffee",
        comments=("one", "two"),
        time_nanos=1_800_000_000_000_000_000,
    )
    add = FrameName("main.(*Baseline).Add", file="baseline.go", line=7)
    main = FrameName("main.main", file="main.go", line=3)
    builder.add((add, main), (600, 60), {"type": "string", "bytes": 10, "nothing": ""})
    builder.add((main,), (40, 1))
    builder.add((add, main), (8, 1))
    return builder.to_bytes()


def test_a_written_profile_is_read_again() -> None:
    profile = parse_profile(small_profile())

    add = FrameName("main.(*Baseline).Add", "main.(*Baseline).Add", "baseline.go", 7)
    main = FrameName("main.main", "main.main", "main.go", 3)
    assert profile.sample_types == TYPES
    assert profile.default_sample_type == "inuse_space"
    assert [sample.stack for sample in profile.samples] == [(add, main), (main,), (add, main)]
    assert [sample.values for sample in profile.samples] == [(600, 60), (40, 1), (8, 1)]
    assert profile.samples[0].labels == {"type": "string", "bytes": 10}
    assert profile.comments == ("one", "two")
    assert (profile.executable, profile.build_id) == ("/opt/payments", "c0ffee")
    assert profile.time_nanos == 1_800_000_000_000_000_000


def test_strings_functions_and_locations_are_stored_once() -> None:
    message = profile_class()()
    message.ParseFromString(gzip.decompress(small_profile()))

    assert message.string_table[0] == ""
    assert len(set(message.string_table)) == len(message.string_table)
    assert [function.id for function in message.function] == [1, 2]
    assert [location.id for location in message.location] == [1, 2]


def test_the_same_samples_give_the_same_bytes() -> None:
    assert small_profile() == small_profile()


def test_a_sample_with_too_few_values_is_refused() -> None:
    with pytest.raises(ValueError, match="1 values for 2 sample types"):
        ProfileBuilder(TYPES).add((), (1,))


def test_names_that_are_no_unicode_are_escaped() -> None:
    builder = ProfileBuilder((("n", "count"),))
    builder.add((FrameName("a\udcff\ud800b"),), (1,))

    assert parse_profile(builder.to_bytes()).samples[0].stack[0].name == r"a\udcff\ud800b"


FRAME_NAMES = st.builds(
    FrameName, st.text(max_size=8), st.text(min_size=1, max_size=8), st.text(max_size=8), st.integers(0, 9)
)
INT64 = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(st.tuples(st.lists(FRAME_NAMES, max_size=5), INT64), max_size=8))
def test_reading_undoes_writing(rows: list[tuple[list[FrameName], int]]) -> None:
    builder = ProfileBuilder((("n", "count"),))
    for stack, value in rows:
        builder.add(stack, (value,))

    profile = parse_profile(builder.to_bytes())

    assert [(list(sample.stack), sample.values[0]) for sample in profile.samples] == rows


def test_a_plain_profile_is_read_without_gzip() -> None:
    assert parse_profile(gzip.decompress(small_profile())).samples == parse_profile(small_profile()).samples


def test_every_cut_off_gzip_profile_is_an_error() -> None:
    data = small_profile()

    for size in range(2, len(data)):
        with pytest.raises((Truncated, FormatError)):
            parse_profile(data[:size])


@given(st.integers(0, 2**32), st.integers(0, 255))
def test_a_damaged_profile_is_read_or_refused_but_never_crashes(at: int, value: int) -> None:
    data = bytearray(gzip.decompress(small_profile()))
    data[at % len(data)] = value

    with contextlib.suppress(HeldbyError):  # any other exception fails the test
        parse_profile(bytes(data))


def test_an_index_out_of_the_string_table_is_named() -> None:
    message = profile_class()()
    message.ParseFromString(gzip.decompress(small_profile()))
    message.function[0].name = 999

    with pytest.raises(FormatError, match="refers to number 999"):
        parse_profile(message.SerializeToString())


def test_a_gzip_bomb_is_refused_without_unpacking_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pprof_read, "LARGEST_BYTES", 1 << 20)
    bomb = gzip.compress(bytes(8 << 20))

    with pytest.raises(LimitExceeded, match="more than 1 MiB"):
        parse_profile(bomb)


def test_stacks_cannot_multiply_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protobuf_read, "MOST_FRAMES", 1000)
    message = profile_class()()
    message.string_table.append("")
    message.sample_type.add()
    message.function.add(id=1)
    location = message.location.add(id=1)
    for _ in range(100):
        location.line.add(function_id=1)
    message.sample.add(location_id=[1] * 100, value=[1])

    with pytest.raises(LimitExceeded, match="more than 1,000 frames"):
        parse_profile(message.SerializeToString())


def test_a_missing_file_is_an_error_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"absent\.pb\.gz: No such file"):
        read_profile(tmp_path / "absent.pb.gz")
