from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from heldby.binary import code_constants as cc
from heldby.binary.code_references import (
    NO_FUNCTIONS,
    CodeFacts,
    code_functions,
    receiver_type_name,
    role_of,
    scan_code,
)
from heldby.binary.dwarf import read_dwarf
from heldby.binary.executable import Executable, open_executable
from heldby.binary.symbols import KIND_FUNCTION
from heldby.errors import FormatError, Unsupported
from tests.binary.conftest import cross_build


def data_range(executable: Executable) -> tuple[int, int]:
    low = executable.symbols.address_of("runtime.noptrdata")
    high = executable.symbols.address_of("runtime.end")
    assert low is not None
    assert high is not None
    return low, high


def function_list(executable: Executable) -> list[tuple[str, int]]:
    symbols = executable.symbols
    indexes = np.flatnonzero(symbols.kinds == KIND_FUNCTION).tolist()
    return [(symbols.name(i), int(symbols.addresses[i])) for i in indexes]


def scan(executable: Executable) -> CodeFacts:
    address, code = executable.text
    functions = code_functions(function_list(executable))
    return scan_code(code, address, executable.machine, data_range(executable), functions)


def said_types(program: Path, facts: CodeFacts, variable: str) -> set[str]:
    """Return the types that the code says variable has, named by the debug information."""
    executable = open_executable(program)
    dwarf = read_dwarf(executable)
    base = executable.symbols.address_of("runtime.types")
    address = executable.symbols.address_of(variable)
    assert dwarf is not None
    assert base is not None
    assert address is not None
    table = dwarf.entries.table
    descriptors = {
        base + int(table[row, 8]): dwarf.entries.row_name(row)
        for row in np.flatnonzero(table[:, 8] > 0).tolist()
    }
    names = {entry: name for name, entry in function_list(executable)}
    evidence = facts.evidence
    found = set()
    for i in range(evidence.addresses.size)[evidence.between(address, address + 1)]:
        relation, subject = int(evidence.relations[i]), int(evidence.subjects[i])
        if relation in {cc.RELATION_RECEIVER, cc.RELATION_RECEIVER_ADDRESS}:
            name = receiver_type_name(names[subject]) or ""
        else:
            name = descriptors[subject]
        prefix = {cc.RELATION_POINTS_TO: "*", cc.RELATION_SLICE_OF: "[]", cc.RELATION_RECEIVER: "*"}
        found.add(prefix.get(relation, "") + name)
    return found


#: What the code of programs/globals does with its globals, read from the source.
EVIDENCE = {
    "main.registry": {"*main.store"},  # registry.add(e)
    "main.byValue": {"main.store"},  # byValue.add(e)
    "main.lookup": {"map[int64][]string"},  # lookup[k] = v
    "main.sized": {"map[string]int"},  # make(map[string]int, 1000)
    "main.head": {"*main.entry"},  # head = &entry{}
    "main.events": {"chan main.pair[string,int]"},  # make(chan, 16)
    "main.assignedLate": {"map[string]*main.pair[int,string]"},
    "main.madeLate": {"[]*main.square"},  # make([]*square, n)
    "main.pooled": {"sync.Pool"},  # pooled.Get()
    "main.names": {"[]string"},  # append
}


def test_code_tells_the_types_of_globals(globals_program: Path) -> None:
    facts = scan(open_executable(globals_program))

    for variable, types in EVIDENCE.items():
        assert said_types(globals_program, facts, variable) >= types, variable


def test_code_for_arm64_tells_the_types_of_globals(tmp_path: Path) -> None:
    program = cross_build("globals", tmp_path / "globals", GOARCH="arm64")
    facts = scan(open_executable(program))

    for variable, types in EVIDENCE.items():
        assert said_types(program, facts, variable) >= types, variable


def test_no_map_pointer_or_channel_is_given_a_wrong_type(globals_program: Path) -> None:
    # A pointer may be said to be one to what its struct begins with; anything else would be a mistake.
    executable = open_executable(globals_program)
    dwarf = read_dwarf(executable)
    assert dwarf is not None
    variables, facts = dwarf.globals, scan(executable)
    maps = pointers = 0
    for index, name in enumerate(variables.names()):
        of = variables.type(index)
        address = int(variables.addresses[index])
        said = facts.evidence.between(address, address + 1)
        if of is None or said.start == said.stop:
            continue
        relations = set(facts.evidence.relations[said].tolist())
        if of.kind in {"map", "chan"}:
            maps += 1
            assert relations == {cc.RELATION_IS}, name
        elif of.kind == "pointer":
            pointers += 1
            assert relations <= {cc.RELATION_POINTS_TO, cc.RELATION_RECEIVER}, name
    assert maps > 10
    assert pointers > 20


def test_references_are_those_that_objdump_prints(globals_program: Path) -> None:
    objdump = shutil.which("objdump")
    if objdump is None:
        pytest.skip("no objdump on PATH")
    executable = open_executable(globals_program)
    low, high = data_range(executable)
    said = subprocess.run(
        [objdump, "-d", "-w", "--no-show-raw-insn", "-j", ".text", globals_program],
        capture_output=True,
        text=True,
        check=True,
    )
    expected = set()
    for match in re.finditer(r"^\s*([0-9a-f]+):\t.*# (?:0x)?([0-9a-f]+)", said.stdout, re.MULTILINE):
        target = int(match[2], 16)
        if low <= target < high:
            expected.add((int(match[1], 16), target))

    facts = scan(executable)

    references = facts.references
    found = set(zip(references.instructions.tolist(), references.targets.tolist(), strict=True))
    assert len(expected) > 5000
    assert found == expected
    assert facts.undecoded_bytes == 0


def test_references_are_found_without_knowing_the_functions(globals_program: Path) -> None:
    executable = open_executable(globals_program)
    address, code = executable.text

    alone = scan_code(code, address, executable.machine, data_range(executable), NO_FUNCTIONS)

    assert np.array_equal(alone.references.instructions, scan(executable).references.instructions)
    assert alone.evidence.addresses.size == 0


@pytest.mark.parametrize("machine", ["amd64", "arm64"])
def test_the_functions_that_use_a_global_are_found(machine: str, tmp_path: Path) -> None:
    program = cross_build("globals", tmp_path / "globals", GOARCH=machine)
    executable = open_executable(program)
    symbols = executable.symbols
    address = symbols.address_of("main.assignedLate")
    assert address is not None

    references = scan(executable).references

    users = references.instructions[references.between(address, address + 8)]
    indexes = {symbols.at(int(i)) for i in users}
    assert {symbols.name(i) for i in indexes if i is not None} == {"main.setLate"}
    assert references.is_store[references.between(address, address + 8)].any()


AMD64 = [
    # bytes, with a place for the displacement; length; whether it stores, or takes the address
    ("488b05{:08x}", 7, False, False),  # MOVQ x(SB), AX
    ("488905{:08x}", 7, True, False),  # MOVQ AX, x(SB)
    ("488d05{:08x}", 7, False, True),  # LEAQ x(SB), AX
    ("48c705{:08x}78563412", 11, True, False),  # MOVQ $imm32, x(SB)
    ("66c705{:08x}3412", 9, True, False),  # MOVW $imm16, x(SB)
    ("c605{:08x}01", 7, True, False),  # MOVB $1, x(SB)
    ("833d{:08x}00", 7, False, False),  # CMPL x(SB), $0
    ("488305{:08x}01", 8, True, False),  # ADDQ $1, x(SB)
    ("f0480fb10d{:08x}", 9, True, False),  # LOCK CMPXCHGQ CX, x(SB)
    ("f00fc105{:08x}", 8, True, False),  # LOCK XADDL AX, x(SB)
    ("440f1105{:08x}", 8, True, False),  # MOVUPS X8, x(SB)
    ("f30f6f05{:08x}", 8, False, False),  # MOVOU x(SB), X0
    ("f30f7e05{:08x}", 8, False, False),  # MOVQ x(SB), X0
    ("660fd605{:08x}", 8, True, False),  # MOVQ X0, x(SB)
    ("f605{:08x}01", 7, False, False),  # TESTB $1, x(SB)
    ("f715{:08x}", 6, True, False),  # NOTL x(SB)
    ("ff05{:08x}", 6, True, False),  # INCL x(SB)
    ("ff15{:08x}", 6, False, False),  # CALL *x(SB)
    ("c5fd6f05{:08x}", 8, False, False),  # VMOVDQA x(SB), Y0
    ("c4e27d5905{:08x}", 9, False, False),  # VPBROADCASTQ x(SB), Y0
    ("62f1fd486f05{:08x}", 10, False, False),  # VMOVDQA64 x(SB), Z0
    ("660f3a0f05{:08x}08", 10, False, False),  # PALIGNR $8, x(SB), X0
]


@pytest.mark.parametrize(("form", "length", "store", "taken"), AMD64)
def test_an_operand_is_found_in_every_kind_of_instruction(
    form: str, length: int, store: bool, taken: bool
) -> None:
    start, target = 0x400000, 0x600020
    displacement = (target - start - length).to_bytes(4, "little").hex()
    text = bytes.fromhex(form.replace("{:08x}", displacement))
    assert len(text) == length
    code = np.frombuffer(text + b"\xc3", np.uint8)

    references = scan_code(code, start, "amd64", (0x600000, 0x700000)).references

    assert references.targets.tolist() == [target]
    assert references.instructions.tolist() == [start]
    assert references.is_store.tolist() == [store]
    assert references.is_address.tolist() == [taken]


ARM64 = [
    # what follows ADRP 0x601000, R0 or R27; the reference's offset in the page; stores; takes the address
    (0xB0001000, [0x91008000], 0x20, False, True),  # ADD $0x20, R0, R0
    (0xB0001000, [0xF9401001], 0x20, False, False),  # MOVD 0x20(R0), R1
    (0xB000101B, [0xF9001361], 0x20, True, False),  # MOVD R1, 0x20(R27)
    (0xB000101B, [0x39408361], 0x20, False, False),  # MOVBU 0x20(R27), R1
    (0xB000101B, [0x39008361], 0x20, True, False),  # MOVB R1, 0x20(R27)
    (0xB000101B, [0x3DC00B60], 0x20, False, False),  # FMOVQ 0x20(R27), F0
    (0xB000101B, [0x3D800B60], 0x20, True, False),  # FMOVQ F0, 0x20(R27)
    (0xB000101B, [0xA9420B61], 0x20, False, False),  # LDP 0x20(R27), (R1, R2)
    (0xB000101B, [0x9100837B, 0xF9400761], 0x28, False, False),  # ADD $0x20, R27; MOVD 8(R27), R1
]


@pytest.mark.parametrize(("page", "rest", "offset", "store", "taken"), ARM64)
def test_an_address_is_found_in_every_pair_that_go_writes(
    page: int, rest: list[int], offset: int, store: bool, taken: bool
) -> None:
    code = np.array([page, *rest, 0xD65F03C0], "<u4").view(np.uint8)

    references = scan_code(code, 0x400000, "arm64", (0x600000, 0x700000)).references

    assert references.targets.tolist() == [0x601000 + offset]
    assert references.instructions.tolist() == [0x400000 + 4 * len(rest)]
    assert references.is_store.tolist() == [store]
    assert references.is_address.tolist() == [taken]


def test_an_instruction_that_is_cut_off_refers_to_nothing() -> None:
    code = np.frombuffer(bytes.fromhex("488b0511223344")[:5], np.uint8)

    facts = scan_code(code, 0x400000, "amd64", (0, 1 << 40))

    assert facts.references.targets.size == 0
    assert facts.undecoded_bytes > 0


@pytest.mark.parametrize("machine", ["amd64", "arm64"])
def test_noise_is_decoded_without_harm(machine: str) -> None:
    noise = np.random.default_rng(7).integers(0, 256, 400_000).astype(np.uint8)
    functions = code_functions((f"f{i}", 0x400000 + int(i)) for i in range(0, 400_000, 4096))

    facts = scan_code(noise, 0x400000, machine, (0, 1 << 61), functions)

    assert facts.references.targets.size > 0
    assert bool(np.all(np.diff(facts.references.targets.astype(np.int64)) >= 0))


def test_addresses_that_cannot_be_are_refused() -> None:
    code = np.zeros(16, np.uint8)

    with pytest.raises(FormatError, match="out of bounds"):
        scan_code(code, 1 << 63, "amd64", (0, 1))
    with pytest.raises(Unsupported, match="riscv64"):
        scan_code(code, 0, "riscv64", (0, 1))


@pytest.mark.parametrize(
    ("method", "receiver"),
    [
        ("main.(*store).add", "main.store"),
        ("example.com/a/b.(*T).M", "example.com/a/b.T"),
        ("gopkg.in/yaml%2ev3.(*parser).peek", "gopkg.in/yaml%2ev3.parser"),
        ("main.(*pair[...]).Key", "main.pair[...]"),
        ("main.(*store).add.func1", None),
        ("main.(*store).add-fm", None),
        ("main.store.add", None),
        ("main.main", None),
    ],
)
def test_a_method_names_the_type_of_its_receiver(method: str, receiver: str | None) -> None:
    assert receiver_type_name(method) == receiver


def test_runtime_functions_have_their_roles() -> None:
    assert role_of("runtime.newobject") == cc.ROLE_NEW
    assert role_of("runtime.mallocgcSmallScanNoHeaderSC3") == cc.ROLE_ALLOCATE
    assert role_of("runtime.mapassign_faststr") == cc.ROLE_MAP
    assert role_of("runtime.gcWriteBarrier2") == cc.ROLE_BARRIER
    assert role_of("main.(*store).add") == cc.ROLE_METHOD
    assert role_of("runtime.main") == cc.ROLE_OTHER
