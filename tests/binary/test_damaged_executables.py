"""Damaged and hostile executables: an answer or an error of ours, never anything else, in bounded time."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heldby.binary.build_info import read_build_info
from heldby.binary.dwarf import read_dwarf
from heldby.binary.executable import parse_executable
from heldby.errors import HeldbyError
from heldby.memory.image import Bytes
from tests.binary.conftest import PROGRAMS, cross_build
from tests.support.build import build
from tests.support.toolchains import any_toolchain

EXAMPLES = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
SECTIONS = (".debug_info", ".debug_abbrev", ".debug_loclists", ".debug_rnglists", ".debug_addr", ".symtab")


@functools.cache
def whole() -> Bytes:
    """Return the small program as it is, with compressed debug sections."""
    return np.fromfile(build(PROGRAMS / "small", any_toolchain()), np.uint8)


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Bytes:
    """The small program with debug sections that are not compressed, so that damage reaches them."""
    program = tmp_path_factory.mktemp("plain") / "small"
    return np.fromfile(cross_build("small", program, "-ldflags=-compressdwarf=false"), np.uint8)


def read_everything(data: Bytes) -> int:
    """Ask all that the rest of heldby asks; return how much there was, -1 for our own error."""
    try:
        executable = parse_executable(data)
        executable.read_only_segments(0, 0)
        found = len(executable.gnu_build_id or "") + len(executable.go_build_id or "")
        found += len(read_build_info(executable).settings) if read_build_info(executable) else 0  # type: ignore[union-attr]
        symbols = executable.symbols
        found += symbols.count + (symbols.find("runtime.mheap_") or 0)
        found += sum(len(symbols.name(i)) for i in range(0, symbols.count, 50))
        symbols.at(executable.entry)
        dwarf = read_dwarf(executable)
        if dwarf is None:
            return found
        variables = dwarf.globals
        found += len(variables.names()) + len(dwarf.constants)
        for index in range(0, len(variables), 7):
            of, steps = variables.type(index), 0
            while of is not None and steps < 8:
                found += len(of.fields)
                _ = of.key, [f.type for f in of.fields[:20]]
                of, steps = of.elem, steps + 1
        dwarf.find_type("main.node")
        for address in symbols.addresses[::40].tolist():
            function = dwarf.functions.at(address)
            found += len(function.variables) if function else 0
            _ = function and [v.type for v in function.variables[:20]]
    except HeldbyError as error:
        return -1 if error.message and error.cause and error.next_step else -2
    return found


def test_the_undamaged_program_gives_answers(plain: Bytes) -> None:
    assert read_everything(whole()) > 2000
    assert read_everything(plain) > 2000


@EXAMPLES
@given(st.integers(0, 1 << 21))
def test_a_program_cut_off_anywhere_is_an_answer_or_an_error(size: int) -> None:
    assert read_everything(whole()[:size]) >= -1


@pytest.mark.parametrize("size", [0, 1, 4, 16, 63, 64, 65, 100, 400, 4096])
def test_a_program_cut_off_in_its_headers_is_an_error(size: int) -> None:
    assert read_everything(whole()[:size]) == -1 or size >= 400


@EXAMPLES
@given(
    st.lists(
        st.tuples(st.integers(0, 1023), st.sampled_from((0, 1, 0x7F, 0x80, 0xFF)) | st.integers(0, 255)),
        min_size=1,
        max_size=8,
    )
)
def test_damaged_headers_are_an_answer_or_an_error(changes: list[tuple[int, int]]) -> None:
    data = whole().copy()
    for position, value in changes:
        data[position] = value
    assert read_everything(data) >= -1


@EXAMPLES
@given(st.data())
def test_damaged_section_headers_are_an_answer_or_an_error(choices: st.DataObject) -> None:
    data = whole().copy()
    table = int(data[0x28:0x30].view(np.uint64)[0])
    for _ in range(choices.draw(st.integers(1, 6))):
        field = table + 8 * choices.draw(st.integers(0, (data.size - table) // 8 - 1))
        data[field : field + 8].view(np.uint64)[0] = choices.draw(
            st.sampled_from((0, 1, data.size, 1 << 31, 1 << 32, 1 << 63, (1 << 64) - 1))
            | st.integers(0, (1 << 64) - 1)
        )
    assert read_everything(data) >= -1


@EXAMPLES
@given(choices=st.data())
def test_damaged_debug_sections_are_an_answer_or_an_error(plain: Bytes, choices: st.DataObject) -> None:
    data = plain.copy()
    sections = {s.name: s for s in parse_executable(plain).sections}
    for _ in range(choices.draw(st.integers(1, 12))):
        section = sections.get(choices.draw(st.sampled_from(SECTIONS)))
        if section is None:  # DWARF 4 has other ones
            continue
        position = section.offset + choices.draw(st.integers(0, section.size - 1))
        data[position] = choices.draw(st.sampled_from((0, 1, 0x7F, 0x80, 0xFF)) | st.integers(0, 255))
    assert read_everything(data) >= -1


@EXAMPLES
@given(st.binary(max_size=4000))
def test_noise_in_place_of_debug_information_is_no_harm(noise: bytes) -> None:
    data = noise_in(noise, ".debug_info")
    assert read_everything(data) >= -1
    assert read_everything(noise_in(noise, ".debug_abbrev")) >= -1


def noise_in(noise: bytes, name: str) -> Bytes:
    data = whole().copy()
    section = next(s for s in parse_executable(data).sections if s.name == name)
    length = min(len(noise), section.size)
    data[section.offset : section.offset + length] = np.frombuffer(noise[:length], np.uint8)
    return data


def test_an_abbreviation_of_attributes_without_size_does_not_take_for_ever(plain: Bytes) -> None:
    # 500 attributes of form flag_present take no bytes: each byte of .debug_info would be an entry.
    data = plain.copy()
    sections = {s.name: s for s in parse_executable(plain).sections}
    table = bytes([1, 0x11, 1]) + bytes([0x3F, 0x19]) * 30 + bytes([0, 0, 0])
    start = sections[".debug_abbrev"].offset
    data[start : start + len(table)] = np.frombuffer(table, np.uint8)
    info = sections[".debug_info"]
    data[info.offset + 12 : info.offset + info.size] = 1
    data[info.offset : info.offset + 4].view(np.uint32)[0] = info.size - 4

    assert read_everything(data) >= -1


def test_the_error_for_an_unreadable_file_names_it(tmp_path: Path) -> None:
    with pytest.raises(HeldbyError, match="the executable ends after 20 bytes"):
        parse_executable(whole()[:20])
