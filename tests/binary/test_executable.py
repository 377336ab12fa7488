from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile

from heldby.binary.build_info import read_build_info
from heldby.binary.executable import open_executable, parse_executable
from heldby.binary.symbols import KIND_FUNCTION, KIND_OBJECT
from heldby.errors import FormatError, Truncated, Unsupported
from heldby.memory.image import Image
from tests.binary.conftest import PROGRAMS, cross_build
from tests.support.build import Mode, build
from tests.support.toolchains import Toolchain


def test_sections_and_segments_are_those_that_pyelftools_reads(globals_program: Path) -> None:
    executable = open_executable(globals_program)

    with globals_program.open("rb") as file:
        elf = ELFFile(file)
        sections = [(s.name, s["sh_addr"], s["sh_offset"]) for s in elf.iter_sections()]
        loads = [(s["p_vaddr"], s["p_memsz"], s["p_filesz"]) for s in elf.iter_segments("PT_LOAD")]
        entry = elf.header["e_entry"]
    assert [(s.name, s.address, s.offset) for s in executable.sections] == sections
    assert [(s.address, s.memory_size, s.file_size) for s in executable.segments] == sorted(loads)
    assert (executable.machine, executable.kind, executable.entry) == ("amd64", "EXEC", entry)
    assert executable.caveats == ()


def test_compressed_sections_are_decompressed_as_pyelftools_does(globals_program: Path) -> None:
    executable = open_executable(globals_program)

    section = executable.section(".debug_info")
    assert section is not None
    assert section.compressed
    with globals_program.open("rb") as file:
        expected = ELFFile(file).get_section_by_name(".debug_info").data()
    found = executable.section_bytes(".debug_info")
    assert found is not None
    assert found.tobytes() == expected


def test_symbols_are_those_that_pyelftools_reads(globals_program: Path) -> None:
    symbols = open_executable(globals_program).symbols

    with globals_program.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        expected = sorted(
            (s["st_value"], s["st_size"], s.name)
            for s in table.iter_symbols()
            if s["st_shndx"] != "SHN_UNDEF"
            and s["st_info"]["type"] in ("STT_NOTYPE", "STT_OBJECT", "STT_FUNC")
        )
    found = sorted(
        (int(symbols.addresses[i]), int(symbols.sizes[i]), symbols.name(i)) for i in range(symbols.count)
    )
    assert found == expected


def test_a_symbol_is_found_by_its_name_and_by_any_address_that_it_covers(globals_program: Path) -> None:
    symbols = open_executable(globals_program).symbols

    index = symbols.find("main.registry")
    assert index is not None
    assert symbols.name(index) == "main.registry"
    assert symbols.kinds[index] == KIND_OBJECT
    address = symbols.address_of("main.(*store).add")
    assert address is not None
    inside = symbols.at(address + 5)
    assert inside is not None
    assert symbols.name(inside) == "main.(*store).add"
    assert symbols.kinds[inside] == KIND_FUNCTION
    assert symbols.find("main.regist") is None
    assert symbols.find("ain.registry") is None
    assert symbols.at(8) is None


def test_a_stripped_program_has_no_symbols_and_no_dwarf(stripped_program: Path) -> None:
    executable = open_executable(stripped_program)

    assert executable.is_stripped
    assert not executable.has_dwarf
    assert executable.symbols.address_of("main.main") is None


def test_a_default_build_has_symbols_and_dwarf(globals_program: Path) -> None:
    executable = open_executable(globals_program)

    assert not executable.is_stripped
    assert executable.has_dwarf


def test_build_ids_are_those_that_the_tools_print(globals_program: Path, go: Toolchain) -> None:
    executable = open_executable(globals_program)

    said = subprocess.run(
        [go.go, "tool", "buildid", globals_program], capture_output=True, text=True, check=True
    )
    assert executable.go_build_id == said.stdout.strip()
    notes = subprocess.run(["readelf", "-n", globals_program], capture_output=True, text=True, check=True)
    match = re.search(r"Build ID: ([0-9a-f]+)", notes.stdout)
    assert executable.gnu_build_id == (match[1] if match else None)


def test_build_information_is_what_the_build_was_told(stripped_program: Path, go: Toolchain) -> None:
    info = read_build_info(open_executable(stripped_program))

    assert info is not None
    assert info.go_version == f"go{go.version}"
    assert info.path == "example.test/globals"
    assert info.main is not None
    assert info.main.path == "example.test/globals"
    assert info.settings["-ldflags"] == "-s -w"
    assert info.settings["CGO_ENABLED"] == "0"
    assert info.settings["GOARCH"] == "amd64"
    assert info.dependencies == ()


def test_build_information_is_found_without_section_headers(stripped_program: Path) -> None:
    data = np.fromfile(stripped_program, np.uint8)
    data[0x28:0x30] = 0  # e_shoff
    executable = parse_executable(data)

    assert executable.sections == ()
    assert "no section headers" in executable.caveats[0]
    info = read_build_info(executable)
    assert info is not None
    assert info.path == "example.test/globals"


def test_a_program_without_build_information_gives_none(stripped_program: Path) -> None:
    data = np.fromfile(stripped_program, np.uint8)
    at = data.tobytes().find(b"\xff Go buildinf:")
    data[at : at + 14] = 0

    assert read_build_info(parse_executable(data)) is None


def test_a_position_independent_program_is_told_from_a_fixed_one(position_independent_program: Path) -> None:
    executable = open_executable(position_independent_program)

    assert executable.kind == "DYN"
    assert executable.program_headers_address == executable.segments[0].address + 64


def test_read_only_segments_lie_in_an_image_at_the_load_bias(position_independent_program: Path) -> None:
    executable = open_executable(position_independent_program)
    bias = 0x5555_5000_0000

    image = Image([executable.data], executable.read_only_segments(bias, 0))

    address, code = executable.text
    assert image.read(bias + address, 64) == code[:64].tobytes()
    data = executable.section(".data")
    assert data is not None
    assert bias + data.address not in image


def test_an_arm64_program_is_read(tmp_path: Path) -> None:
    executable = open_executable(cross_build("small", tmp_path / "small", GOARCH="arm64"))

    assert executable.machine == "arm64"
    info = read_build_info(executable)
    assert info is not None
    assert info.settings["GOARCH"] == "arm64"


@pytest.mark.slow
def test_a_cgo_program_linked_by_the_c_compiler_is_read(tmp_path: Path) -> None:
    program = cross_build("globals", tmp_path / "cgo", "-ldflags=-linkmode=external", CGO_ENABLED="1")
    executable = open_executable(program)

    info = read_build_info(executable)
    assert info is not None
    assert info.settings["CGO_ENABLED"] == "1"
    assert executable.symbols.address_of("runtime.mheap_") is not None


def test_a_script_is_no_executable(tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text("#!/bin/sh\n")

    with pytest.raises(FormatError, match="is no ELF file") as caught:
        open_executable(script)
    assert caught.value.next_step is not None
    assert "/proc/PID/exe" in caught.value.next_step


def test_a_missing_file_and_an_empty_one_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="No such file"):
        open_executable(tmp_path / "nothing")
    (tmp_path / "empty").touch()
    with pytest.raises(Truncated, match="is empty"):
        open_executable(tmp_path / "empty")


def test_another_machine_is_not_supported(small_program: Path) -> None:
    data = np.fromfile(small_program, np.uint8)
    data[18] = 243  # EM_RISCV

    with pytest.raises(Unsupported, match="machine 243"):
        parse_executable(data)


def test_a_file_that_is_cut_off_says_how_much_is_missing(small_program: Path) -> None:
    whole = np.fromfile(small_program, np.uint8)
    last = max(s.offset + s.file_size for s in parse_executable(whole).segments)

    cut = parse_executable(whole[: last - 1000])

    assert "1,000 bytes that its headers promise are not there" in cut.caveats[0]
    assert (
        sum(s.file_size for s in cut.segments)
        == sum(s.file_size for s in parse_executable(whole).segments) - 1000
    )


def test_a_section_that_promises_too_much_is_not_decompressed(globals_program: Path) -> None:
    data = np.fromfile(globals_program, np.uint8)
    section = parse_executable(data).section(".debug_info")
    assert section is not None
    data[section.offset + 8 : section.offset + 16].view(np.uint64)[0] = 1 << 40

    with pytest.raises(FormatError, match=r"section \.debug_info .* cannot be decompressed"):
        parse_executable(data).section_bytes(".debug_info")


def test_the_stripped_and_the_whole_program_share_their_code(go: Toolchain) -> None:
    whole = open_executable(build(PROGRAMS / "globals", go))
    stripped = open_executable(build(PROGRAMS / "globals", go, Mode.STRIPPED))

    assert whole.text[1].size == stripped.text[1].size > 1_000_000
