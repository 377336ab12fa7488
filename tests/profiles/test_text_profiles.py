"""Go's text profiles: what they say, and what is said about damaged ones."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from heldby.errors import FormatError, HeldbyError, LimitExceeded, Truncated
from heldby.profiles import text_read
from heldby.profiles.pprof_read import content_of, parse_profile, read_profile
from heldby.profiles.weights import weigh
from tests.profiles.conftest import Served

HEAP = b"""heap profile: 3: 300 [5: 700] @ heap/2
2: 200 [4: 600] @ 0x10 0x20
#\t0xf\tmain.(*Cache[...]).put+0x1\t/src/cache.go:7
#\t0x1f\tmain.main+0x2\t\t/src/main.go:30

1: 100 [1: 100] @ 0x30
#\t0x2f

# runtime.MemStats
# Alloc = 1
"""
CONTENTION = b"""--- contention:
cycles/second=2000000000
sampling period=5
100 2 @ 0x10 0x20
#\t0xf\tsync.(*Mutex).Unlock+0x1\t/go/src/sync/mutex.go:65
#\t0x1f\tmain.hold+0x2\t\t/src/main.go:30

3 1 @ 0x30
"""
STACKS = b"""goroutine 1 [running]:
main.main()
\t/src/main.go:9 +0x1d

goroutine 7 [chan receive, 5 minutes, locked to thread]:
main.(*Server).wait(0xc0001, {0x2, 0x3})
\t/src/server.go:44 +0x25
created by main.main in goroutine 1
\t/src/main.go:8 +0x4d

goroutine 8 gp=0xc000 m=nil [chan receive]:
main.(*Server).wait(0xc0002, {0x2, 0x3})
\t/src/server.go:44 +0x25
created by main.main in goroutine 1
\t/src/main.go:8 +0x4d

"""


def rows(data: bytes, column: int = -1) -> dict[str, tuple[int, int]]:
    profile = parse_profile(data)
    weights = weigh(profile, column % len(profile.sample_types))
    numbers = zip(weights.flat.tolist(), weights.cum.tolist(), strict=True)
    return {key[0]: pair for key, pair in zip(weights.keys, numbers, strict=True)}


def test_a_heap_text_has_four_numbers_and_the_names_behind_each_record() -> None:
    profile = parse_profile(HEAP)

    assert [name for name, _ in profile.sample_types] == [
        "alloc_objects",
        "alloc_space",
        "inuse_objects",
        "inuse_space",
    ]
    assert rows(HEAP) == {"main.(*Cache[...]).put": (200, 200), "main.main": (0, 200), "0x2f": (100, 100)}
    assert rows(HEAP, 1)["main.main"] == (0, 600)
    assert [(frame.file, frame.line) for frame in profile.samples[0].stack] == [
        ("/src/cache.go", 7),
        ("/src/main.go", 30),
    ]


def test_sampled_numbers_are_scaled_up() -> None:
    # One object of 512 KiB at a rate of 512 KiB was sampled with probability 1 - 1/e = 0.632.
    text = b"heap profile: 1: 524288 [1: 524288] @ heap/1048576\n1: 524288 [1: 524288] @ 0x1\n"

    assert rows(text) == {"0x1": (829_411, 829_411)}  # 524,288 / 0.63212


def test_goroutines_are_counted_by_stack_and_named_by_their_creator() -> None:
    profile = parse_profile(STACKS)

    assert [(sample.values, sample.labels) for sample in profile.samples] == [
        ((1,), {"state": "running"}),
        ((2,), {"state": "chan receive"}),
    ]
    assert rows(STACKS) == {"main.(*Server).wait": (2, 2), "main.main": (1, 3)}


def test_a_served_heap_text_says_the_same_as_the_protobuf(served: Served) -> None:
    protobuf, text = read_profile(served.after), read_profile(served.after_text)

    def blocks(profile: object) -> list[int]:
        weights = weigh(profile, 3)  # type: ignore[arg-type]
        return [
            flat
            for key, flat in zip(weights.keys, weights.flat.tolist(), strict=True)
            if key[0] in ("main.blocks", "strings.Repeat")
        ]

    assert blocks(text) == blocks(protobuf)
    assert 638_976 in blocks(text)


def test_served_goroutine_texts_count_five_that_sleep_for_ever(served: Served) -> None:
    for path in (served.goroutines, served.goroutine_stacks):
        weights = weigh(read_profile(path), 0, by_cum=True)
        names = [key[0] for key in weights.keys]
        assert weights.cum[names.index("main.main.func2")] == 5


@pytest.mark.parametrize("data", [HEAP, CONTENTION, STACKS], ids=["heap", "mutex", "goroutines"])
def test_every_cut_off_text_is_read_or_refused_but_never_crashes(data: bytes) -> None:
    for size in range(1, len(data)):
        if data[size - 1 : size] != b"\n":
            with pytest.raises((Truncated, FormatError)):
                parse_profile(data[:size])
        else:
            try:
                parse_profile(data[:size])
            except HeldbyError:
                continue


def test_a_line_that_is_no_record_is_named() -> None:
    with pytest.raises(FormatError, match="damaged in line 2: 1: x"):
        parse_profile(b"heap profile: 1: 1 [1: 1] @ heap/2\n1: x [1: 1] @ 0x1\n")


def test_a_text_of_a_c_program_is_refused_with_advice() -> None:
    with pytest.raises(FormatError, match="does not read: --- threadz 1 ---") as raised:
        parse_profile(b"--- threadz 1 ---\n")
    assert raised.value.next_step == "fetch it again as a protobuf"


def test_sampled_waits_are_multiplied_and_cycles_become_nanoseconds() -> None:
    profile = parse_profile(CONTENTION)

    assert profile.sample_types == (("contentions", "count"), ("delay", "nanoseconds"))
    # Every fifth contention is sampled; two cycles are a nanosecond.
    assert rows(CONTENTION, 0) == {"sync.(*Mutex).Unlock": (10, 10), "main.hold": (0, 10), "0x30": (5, 5)}
    assert rows(CONTENTION) == {"sync.(*Mutex).Unlock": (250, 250), "main.hold": (0, 250), "0x30": (7, 7)}


def test_waits_are_left_alone_where_the_profile_gives_no_period_or_frequency() -> None:
    for setting in (b"sampling period=0\ncycles/second=2000000000", b"sampling period=1"):
        assert rows(b"--- contention:\n" + setting + b"\n100 2 @ 0x1\n") == {"0x1": (100, 100)}


@pytest.mark.parametrize("period", [0, 5])
def test_a_mutex_text_of_go_is_not_scaled_a_second_time(period: int) -> None:
    text = CONTENTION.replace(b"contention:", b"mutex:").replace(b"period=5", b"period=%d" % period)

    assert rows(text, 0) == {"sync.(*Mutex).Unlock": (2, 2), "main.hold": (0, 2), "0x30": (1, 1)}
    assert rows(text) == {"sync.(*Mutex).Unlock": (50, 50), "main.hold": (0, 50), "0x30": (1, 1)}
    assert f"(sampling period={period})" in parse_profile(text).notes[0]


def test_mappings_behind_the_records_are_not_read_as_records() -> None:
    text = CONTENTION + b"--- Memory map: ---\n00400000-00500000 r-xp 00000000 00:00 0 /bin/x\n"

    assert rows(text) == rows(CONTENTION)


def test_numbers_that_no_program_has_are_refused_or_kept() -> None:
    with pytest.raises(FormatError, match="does not fit 64 bits"):
        parse_profile(b"goroutine profile: total 1\n9999999999999999999 @ 0x1\n")
    huge_rate = b"heap profile: 1: 1 [1: 1] @ heap/999999999999999999\n1: 1 [1: 1] @ 0x1\n"
    assert rows(huge_rate) == {"0x1": (1, 1)}


def test_stacks_cannot_multiply_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_read, "MOST_FRAMES", 2)

    with pytest.raises(LimitExceeded, match="more than 2 frames"):
        parse_profile(HEAP)


def test_profiles_are_told_by_their_content(tmp_path: Path, served: Served) -> None:
    contents = {
        "heap.txt": HEAP,
        "heap.core": gzip.compress(HEAP),
        "plain": gzip.decompress(served.after.read_bytes()),
        "core.gz": gzip.compress(b"\x7fELF" + bytes(100)),
        "text": b"Hello, world\n",
        "zeros": bytes(100),
        "empty": b"",
    }
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)

    found = {name: content_of(tmp_path / name) for name in contents}

    assert found == {
        "heap.txt": "profile",
        "heap.core": "profile",
        "plain": "profile",
        "core.gz": "compressed core",
        "text": "other",
        "zeros": "other",
        "empty": "other",
    }
