"""Cores as `CoreWriter` writes them and `open_core` reads them, whole, cut off and damaged."""

from __future__ import annotations

import contextlib
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heldby.errors import (
    FormatError,
    HeldbyError,
    LimitExceeded,
    NotACore,
    NotCaptured,
    Truncated,
    Unsupported,
)
from heldby.memory.core_file import (
    AMD64_REGISTERS,
    CAPTURE_NOTE_TYPE,
    CoreFile,
    MappedFile,
    iter_notes,
    open_core,
    parse_core,
)
from heldby.memory.core_writer import CoreWriter, file_note, pack_note, prpsinfo_note, prstatus_note
from heldby.memory.paging_kernels import build_page_table

PAGE = 4096
HEAP = 0xC000000000
REGISTERS = {name: index + 1 for index, name in enumerate(AMD64_REGISTERS)}


def small_core(path: Path, *, padding: str = "") -> bytes:
    """Write a core with a program, three pages of heap with a hole, two threads and our note."""
    program = path.with_name("program")
    program.write_bytes(b"P" * (PAGE + 100))
    with path.open("w+b") as file, program.open("rb") as source:
        writer = CoreWriter(file.fileno(), machine="amd64", header_room=2 * PAGE)
        offset = writer.embed(source.fileno(), PAGE + 100)
        writer.refer(0x400000, 2 * PAGE, offset, 5)
        writer.append(HEAP, memoryview(b"a" * PAGE), 6)
        writer.append(HEAP + PAGE, memoryview(b"b" * PAGE), 6)
        writer.append(HEAP + 4 * PAGE, memoryview(b"c" * PAGE), 6, gap_bytes=15 * PAGE)
        note = {
            "executable": {"offset": offset, "size": PAGE + 100},
            "zero_ranges": [[HEAP, HEAP + 64 * PAGE]],
            "padding": padding,
        }
        writer.finish(
            [
                prstatus_note("amd64", 7, REGISTERS, pid=7),
                prpsinfo_note(pid=7, ppid=1, uid=0, gid=0, name="program"),
                (6, b"CORE", struct.pack("<4Q", 9, 0x400010, 0, 0)),
                file_note([MappedFile(0x400000, 0x402000, 0, "/bin/program")]),
                prstatus_note("amd64", 8, REGISTERS, pid=7),
                (CAPTURE_NOTE_TYPE, b"heldby", json.dumps(note).encode()),
            ]
        )
    return path.read_bytes()


@pytest.fixture
def core(tmp_path: Path) -> CoreFile:
    small_core(tmp_path / "core")
    return open_core(tmp_path / "core")


def test_pages_come_back_where_they_were(core: CoreFile) -> None:
    assert core.image.read(HEAP, 2 * PAGE) == b"a" * PAGE + b"b" * PAGE
    assert core.image.read(HEAP + 4 * PAGE, PAGE) == b"c" * PAGE


def test_a_gap_and_what_was_never_touched_are_zero(core: CoreFile) -> None:
    assert core.image.read(HEAP + 2 * PAGE, 2 * PAGE) == bytes(2 * PAGE)
    assert core.image.read(HEAP + 5 * PAGE, 59 * PAGE) == bytes(59 * PAGE)
    with pytest.raises(NotCaptured) as caught:
        core.image.read(HEAP + 63 * PAGE, 2 * PAGE)
    assert caught.value.addr == HEAP + 64 * PAGE


def test_the_program_lies_in_the_core_once(core: CoreFile) -> None:
    assert core.executable is not None
    assert core.executable.tobytes() == b"P" * (PAGE + 100)
    assert core.image.read(0x400000, PAGE + 101) == b"P" * (PAGE + 100) + b"\0"


def test_pages_are_aligned_in_the_file(core: CoreFile) -> None:
    assert [s.offset % PAGE for s in core.image.segments if s.buffer == 0] == [0, 0]


def test_threads_auxv_and_files_come_back(core: CoreFile) -> None:
    assert [thread.tid for thread in core.threads] == [7, 8]
    assert core.threads[0].registers == REGISTERS
    assert core.auxv == {9: 0x400010, 0: 0}
    assert core.mapped_files == (MappedFile(0x400000, 0x402000, 0, "/bin/program"),)
    assert core.machine == "amd64"
    assert core.missing_bytes == 0
    assert core.caveats == ()


def test_headers_that_outgrow_their_room_go_to_the_end(tmp_path: Path) -> None:
    data = small_core(tmp_path / "core", padding="x" * 2 * PAGE)

    (headers_at,) = struct.unpack_from("<Q", data, 32)
    assert headers_at > 5 * PAGE
    assert open_core(tmp_path / "core").image.read(HEAP, 1) == b"a"


def test_more_segments_than_a_header_can_count_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "core"
    count = 66_000
    with path.open("w+b") as file:
        writer = CoreWriter(file.fileno(), machine="amd64", header_room=0)
        writer.append(HEAP, memoryview(b"x" * PAGE), 6)
        for index in range(count):
            writer.refer(HEAP + (2 * index + 2) * PAGE, PAGE, PAGE, 6)
        writer.finish([])

    image = open_core(path).image
    assert struct.unpack_from("<H", path.read_bytes(), 56) == (0xFFFF,)
    assert len(image.segments) == count + 1


@pytest.mark.parametrize("missing", [1, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE])
def test_a_core_that_is_cut_off_says_so_and_does_not_call_the_rest_zero(tmp_path: Path, missing: int) -> None:
    data = small_core(tmp_path / "core")
    core = parse_core(np.frombuffer(data[:-missing], np.uint8), tmp_path / "core")

    assert core.missing_bytes == missing
    assert "cut off" in core.caveats[0]
    last = HEAP + 5 * PAGE
    assert core.image.read_available(last - missing, missing)[1] == missing
    assert core.image.read(last, PAGE) == bytes(PAGE)
    with pytest.raises(NotCaptured):
        core.image.u8(last - 1)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"", Truncated, "is empty"),
        (b"hello, world, this is text", NotACore, "no ELF core"),
        (b"\x7fELF\x02\x01\x01" + bytes(3), Truncated, "ends inside the ELF header"),
        (b"\x7fELF\x01\x01\x01" + bytes(9) + b"\x04\0" + bytes(50), Unsupported, "32-bit"),
        (b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\0\x3e\0" + bytes(50), NotACore, "program, not a core"),
        (b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x04\0\xf3\0" + bytes(50), Unsupported, "machine number 243"),
        (b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x04\0\x3e\0", Truncated, "ends inside the ELF header"),
        (b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x04\0\x3e\0" + bytes(50), FormatError, "0 bytes each"),
    ],
)
def test_what_is_no_core_is_named(
    tmp_path: Path, data: bytes, error: type[HeldbyError], message: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)

    with pytest.raises(error, match=message):
        open_core(path)


def test_a_file_that_is_not_there_is_a_format_error(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="No such file"):
        open_core(tmp_path / "missing")


def test_a_deeply_nested_note_is_no_note(tmp_path: Path) -> None:
    path = tmp_path / "core"
    with path.open("w+b") as file:
        writer = CoreWriter(file.fileno(), machine="amd64", header_room=PAGE)
        writer.append(HEAP, memoryview(b"x" * PAGE), 6)
        writer.finish([(CAPTURE_NOTE_TYPE, b"heldby", b"[" * 200_000)])

    assert open_core(path).note is None


def test_zeros_of_a_tebibyte_take_no_table_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "core"
    with path.open("w+b") as file:
        writer = CoreWriter(file.fileno(), machine="amd64", header_room=PAGE)
        writer.append(HEAP, memoryview(b"x" * PAGE), 6)
        note = {"zero_ranges": [[HEAP, HEAP + (1 << 40)]]}
        writer.finish([(CAPTURE_NOTE_TYPE, b"heldby", json.dumps(note).encode())])

    table = build_page_table(open_core(path).image)

    assert len(table.tables) == 3  # the missing block, the zeros that all share, and that of the written page
    assert table.tables[table.directory[HEAP >> 26], 0] == PAGE // 8
    assert table.tables[table.directory[(HEAP + (1 << 39)) >> 26], 5] == -2
    assert table.directory[(HEAP + (1 << 40)) >> 26] == 0


def test_memory_spread_as_in_no_process_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "core"
    with path.open("w+b") as file:
        writer = CoreWriter(file.fileno(), machine="amd64", header_room=0)
        writer.append(0, memoryview(b"x" * PAGE), 6)
        for index in range(1, 9000):
            writer.refer(index << 26, PAGE, 0, 6)
        writer.finish([])

    with pytest.raises(LimitExceeded, match="9,000 stretches"):
        build_page_table(open_core(path).image)


def test_notes_are_padded_to_four_bytes() -> None:
    packed = pack_note(1, b"abc", b"12345") + pack_note(2, b"abcd", b"")

    assert len(packed) == 12 + 4 + 8 + 12 + 8
    assert list(iter_notes(packed)) == [(1, b"abc", b"12345"), (2, b"abcd", b"")]


@pytest.fixture(scope="module")
def whole_core(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return small_core(tmp_path_factory.mktemp("core") / "core")


def must_be_read_or_refused(data: bytes) -> None:
    """Read a core from bytes that mean nothing; only a `HeldbyError` may come of it."""
    try:
        core = parse_core(np.frombuffer(data, np.uint8), Path("fuzzed"))
        build_page_table(core.image)
        for segment in core.image.segments[:20]:
            core.image.read_available(segment.start - 8, 64)
    except HeldbyError:
        pass


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=4096))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    must_be_read_or_refused(data)


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=2000))
def test_any_bytes_after_a_core_s_first_bytes_are_read_or_refused(data: bytes) -> None:
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x04\0\x3e\0" + bytes(12) + struct.pack("<Q", 64)
    must_be_read_or_refused(head + bytes(14) + struct.pack("<H", 56) + data)


@settings(max_examples=300, deadline=None)
@given(place=st.data())
def test_a_core_with_damaged_headers_is_read_or_refused(whole_core: bytes, place: st.DataObject) -> None:
    damaged = bytearray(whole_core)
    for _ in range(place.draw(st.integers(1, 6))):
        at = place.draw(st.integers(0, 1400))
        value = place.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFE, 0xFF]) | st.integers(0, 255))
        width = place.draw(st.sampled_from([1, 1, 2, 8]))
        damaged[at : at + width] = bytes([value]) * width
    must_be_read_or_refused(bytes(damaged[: place.draw(st.integers(0, len(damaged)))]))


def test_a_core_cut_off_at_any_byte_of_its_headers_is_read_or_refused(whole_core: bytes) -> None:
    for size in range(1500):
        with contextlib.suppress(HeldbyError):
            parse_core(np.frombuffer(whole_core[:size], np.uint8), Path("cut"))
    for size in range(0, len(whole_core), 509):
        must_be_read_or_refused(whole_core[:size])


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=300))
def test_any_bytes_are_notes_or_none(data: bytes) -> None:
    assert sum(12 + len(value) for _, _, value in iter_notes(data)) <= len(data)


@settings(max_examples=200, deadline=None)
@given(pages=st.lists(st.integers(0, 200), unique=True, min_size=1, max_size=60))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, pages: list[int]) -> None:
    path = tmp_path_factory.mktemp("written") / "core"
    with path.open("w+b") as file:
        writer = CoreWriter(file.fileno(), machine="amd64", header_room=PAGE)
        for page in sorted(pages):
            content = memoryview(page.to_bytes(2, "little") * (PAGE // 2))
            writer.append(HEAP + page * PAGE, content, 6, gap_bytes=15 * PAGE)
        size = writer.finish([])

    image = open_core(path).image
    for page in pages:
        assert image.read(HEAP + page * PAGE, PAGE) == page.to_bytes(2, "little") * (PAGE // 2)
    assert path.stat().st_size == size
    path.unlink()
