"""The code for arm64, without an arm64 machine: a disassembler reads the stub, and qemu-user runs it."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from heldby.capture import Check, arm64, capture_process, examine
from heldby.capture.arm64 import Arm64, Arm64Registers
from heldby.capture.injection import CODE_SIZE
from heldby.capture.processor import this_processor
from heldby.capture.seccomp import refused_calls
from heldby.errors import Unsupported
from heldby.memory.core_file import CAPTURE_NOTE_TYPE, open_core
from heldby.memory.core_writer import CoreWriter, prstatus_note
from tests.support.arm64 import QEMU, WITHOUT_QEMU
from tests.support.toolchains import any_toolchain

DRIVER = Path(__file__).parent / "arm64" / "driver.s"
STUB, RESUME = 0x400000, 0x400800
VALUES = tuple(0x0101010101010101 * (number + 1) ^ (1 << 63) for number in range(31))
NO_SIGNAL = 0
TOOLS = {name: shutil.which(f"aarch64-linux-gnu-{name}") for name in ("as", "ld", "objdump")}
with_binutils = pytest.mark.skipif(None in TOOLS.values(), reason="needs Debian's binutils-aarch64-linux-gnu")

# What the stub does, as GNU objdump reads it: 56 bytes of constants come first.
LISTING = """
mov x0, #0x2
adr x1, 0x400000
mov x2, #0x0
mov x3, #0x8
mov x8, #0x87
svc #0x0
mov x0, #0xf00
movk x0, #0x5, lsl #16
mov x1, #0x0
mov x8, #0xdc
svc #0x0
cbz x0, 0x400090
mov x0, #0x2
adr x1, 0x400008
mov x8, #0x87
svc #0x0
ldr x0, 0x400010
ldr x1, 0x400018
ldr x2, 0x400020
ldr x3, 0x400028
ldr x8, 0x400030
b 0x400800
mov x0, #0x600
mov x1, #0x0
mov x8, #0xdc
svc #0x0
cbz x0, 0x4000d8
tbnz x0, #63, 0x4000cc
mov x19, x0
mov x0, x19
mov x1, #0x0
mov x2, #0x40000000
mov x3, #0x0
mov x8, #0x104
svc #0x0
cmn x0, #0x4
b.eq 0x4000ac
mov x0, #0x0
mov x8, #0x5d
svc #0x0
mov x0, #0x0
mov x8, #0x5e
svc #0x0
"""


def registers_of(pc: int, **values: int) -> Arm64Registers:
    registers = Arm64Registers()
    for number, value in enumerate(VALUES):
        setattr(registers, f"x{number}", value)
    for name, value in values.items():
        setattr(registers, name, value)
    registers.pc = pc
    return registers


@with_binutils
def test_the_stub_is_the_code_that_it_should_be(tmp_path: Path) -> None:
    code, start = Arm64().build_stub(STUB, registers_of(RESUME), 0x1234)
    (tmp_path / "stub.bin").write_bytes(code)

    command = [str(TOOLS["objdump"]), "-D", "-b", "binary", "-m", "aarch64", f"--adjust-vma={STUB:#x}"]
    said = subprocess.run(
        [*command, str(tmp_path / "stub.bin")], capture_output=True, text=True, check=True
    ).stdout

    found = re.findall(r"^ +([0-9a-f]+):\t[0-9a-f]{8} \t(.*?)\s*(?://.*)?$", said, re.MULTILINE)
    lines = [text.replace("\t", " ") for addr, text in found if int(addr, 16) >= start]
    expected = LISTING.strip().splitlines()
    assert start == STUB + 56
    assert len(code) == CODE_SIZE
    assert lines[: len(expected)] == expected
    assert set(lines[len(expected) :]) == {"brk #0x0"}  # never reached
    assert struct.unpack("<7Q", code[:56]) == (2**64 - 1, 0x1234, *VALUES[:4], VALUES[8])


@with_binutils
@pytest.mark.skipif(QEMU is None, reason=WITHOUT_QEMU)
@pytest.mark.parametrize("flags", [0x60000000, 0x90000000, 0xF0000000, 0])
@pytest.mark.parametrize("forks", [True, False])
def test_a_thread_comes_back_from_the_stub_with_all_it_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: int, forks: bool
) -> None:
    # qemu-user forks with SIGCHLD alone and answers EINVAL to the real flags: what a refused fork looks like.
    if forks:
        monkeypatch.setattr(arm64, "COPY_FLAGS", int(signal.SIGCHLD))
    blocked = 1 << 9 | 1 << 11  # SIGUSR1, SIGUSR2
    code, start = Arm64().build_stub(STUB, registers_of(RESUME), blocked)
    (tmp_path / "stub.bin").write_bytes(code)
    (tmp_path / "values.bin").write_bytes(struct.pack("<31Q", *VALUES))
    options = [f"--defsym=START={start - STUB}", f"--defsym=FLAGS={flags}"]
    for command in (
        [str(TOOLS["as"]), *options, "-o", "driver.o", str(DRIVER)],
        [str(TOOLS["ld"]), f"-Ttext={STUB:#x}", "-o", "driver", "driver.o"],
    ):
        subprocess.run(command, cwd=tmp_path, check=True)

    # It ends only when the helper has waited for the copy and ended as well.
    ran = subprocess.run(
        [str(QEMU), "-strace", str(tmp_path / "driver")], capture_output=True, check=True, timeout=60
    )

    *values, found_flags, mask = struct.unpack("<33Q", ran.stdout)
    assert tuple(values) == VALUES
    assert found_flags == flags
    assert mask == blocked
    calls = re.findall(r"\b(\w+)\(", ran.stderr.decode())
    made = {name: calls.count(name) for name in ("clone", "wait4", "exit", "exit_group")}
    assert made == {"clone": 2, "wait4": int(forks), "exit": 2, "exit_group": int(forks)}


def go_numbers() -> dict[str, int]:
    """System call numbers of linux/arm64 as Go's syscall package has them."""
    go = str(any_toolchain().go)
    root = subprocess.run([go, "env", "GOROOT"], capture_output=True, text=True, check=True).stdout.strip()
    source = Path(root, "src/syscall/zsysnum_linux_arm64.go").read_text()
    return {name.lower(): int(number) for name, number in re.findall(r"SYS_(\w+)\s*=\s*(\d+)", source)}


def test_system_call_numbers_are_those_of_go() -> None:
    numbers, calls = go_numbers(), Arm64().calls

    for name in ("rt_sigprocmask", "clone", "wait4", "exit", "exit_group"):
        assert getattr(calls, name) == numbers[name]
    assert numbers["futex"] == arm64._SYS_FUTEX
    plain = ("read", "readv", "waitid", "accept", "recvfrom", "recvmsg", "accept4", "wait4")
    assert {numbers[name] for name in plain} == arm64._PLAIN_RESTARTS
    assert Arm64().forking_calls[0] == numbers["clone"]


def test_the_registers_are_struct_user_pt_regs() -> None:
    # <asm/ptrace.h> of arm64: __u64 regs[31], sp, pc, pstate.
    assert ctypes.sizeof(Arm64Registers) == 34 * 8
    assert (Arm64Registers.x30.offset, Arm64Registers.sp.offset) == (30 * 8, 31 * 8)  # type: ignore[attr-defined]
    assert (Arm64Registers.pc.offset, Arm64Registers.pstate.offset) == (32 * 8, 33 * 8)  # type: ignore[attr-defined]


SVC, NOP = 0xD4000001, 0xD503201F
FUTEX, NANOSLEEP, READ = 98, 101, 63
WAIT_PRIVATE, WAKE_PRIVATE = 0x80, 0x81


@pytest.mark.parametrize(
    ("instructions", "values", "rank"),
    [
        ((NOP, SVC), {"x8": FUTEX, "x1": WAIT_PRIVATE, "x3": 0}, 0),
        ((NOP, SVC), {"x8": FUTEX, "x1": WAIT_PRIVATE, "x3": 0x4000}, None),  # restart_syscall has the rest
        ((NOP, SVC), {"x8": FUTEX, "x1": WAKE_PRIVATE, "x3": 0}, None),
        ((NOP, SVC), {"x8": READ}, 1),
        ((NOP, SVC), {"x8": NANOSLEEP}, None),
        ((SVC, NOP), {"x8": NANOSLEEP, "x0": 2**64 - 4}, 2),  # it is over: EINTR
        ((NOP, NOP), {}, None),  # user code: its SVE registers would be lost
        ((NOP, SVC), {"x8": READ, "pstate": 0x10}, None),  # 32-bit code
    ],
)
def test_a_thread_is_chosen_only_where_a_restart_cannot_go_wrong(
    instructions: tuple[int, int], values: dict[str, int], rank: int | None
) -> None:
    code = (ctypes.c_uint32 * 2)(*instructions)
    pc = ctypes.addressof(code) + 4

    assert Arm64().suitability(os.getpid(), registers_of(pc, **values), pc - 0x1000) == rank


def test_a_thread_from_which_no_branch_reaches_the_stub_is_not_chosen() -> None:
    code = (ctypes.c_uint32 * 2)(NOP, SVC)
    pc = ctypes.addressof(code) + 4
    waits = registers_of(pc, x8=READ)

    for distance, rank in ((1 << 27, None), ((1 << 27) - 512, 1), (-(1 << 27), None), (512 - (1 << 27), 1)):
        addr = pc - distance & ~15
        assert Arm64().suitability(os.getpid(), waits, addr) == rank
        if rank is not None:
            assert len(Arm64().build_stub(addr, waits, 0)[0]) == CODE_SIZE


def test_a_thread_whose_memory_cannot_be_read_is_not_chosen() -> None:
    assert Arm64().suitability(os.getpid(), registers_of(0x1000), 0x2000) is None


def test_the_detour_keeps_all_but_the_place_and_the_branch_type() -> None:
    before = registers_of(0x400800, pstate=0x80001C00, sp=0x7000)

    detour = Arm64().detour(before, 0x400038)

    assert detour.as_dict() == {**before.as_dict(), "pc": 0x400038, "pstate": 0x80001000}
    assert before.pc == 0x400800


def test_filters_are_asked_about_arm64() -> None:
    kills_others = [(0x20, 0, 0, 4), (0x15, 1, 0, 0xC00000B7), (0x06, 0, 0, 0), (0x06, 0, 0, 0x7FFF0000)]
    program = b"".join(struct.pack("<HBBI", *item) for item in kills_others)

    assert refused_calls(Arm64().calls, (program,), STUB) == ()


def test_a_capture_of_arm64_is_a_core_of_arm64(tmp_path: Path) -> None:
    registers = registers_of(RESUME, sp=0x4000_0000, pstate=0x60000000)
    note = prstatus_note("arm64", 7, registers.as_dict(), pid=7)
    path = tmp_path / "arm64.core"
    with path.open("w+b") as file:
        writer = CoreWriter(file.fileno(), machine="arm64", header_room=4096)
        writer.append(0x4000000000, memoryview(b"a" * 4096), 6)
        writer.finish([note, (CAPTURE_NOTE_TYPE, b"heldby", b"{}")])

    core = open_core(path)

    assert len(note[2]) == 392  # sizeof(struct elf_prstatus): 112 + 34 * 8 + 4, padded to 8
    assert core.machine == "arm64"
    assert core.threads[0].registers == registers.as_dict()


@pytest.fixture
def _asked_anew() -> Iterator[None]:
    this_processor.cache_clear()
    yield
    this_processor.cache_clear()


@pytest.mark.usefixtures("_asked_anew")
def test_a_kernel_with_other_pages_is_refused_before_anything_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sysconf", lambda _name: 65536)

    said = "this kernel has pages of 64 KiB; processes are captured where pages are of 4 KiB"
    with pytest.raises(Unsupported, match=said):
        capture_process(os.getpid(), None)
    assert examine(os.getpid()).checks[0] == Check(
        "machine", "fail", said, "a core from gcore can be read anywhere"
    )


@pytest.mark.usefixtures("_asked_anew")
def test_another_processor_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine="riscv64"))

    with pytest.raises(Unsupported, match="processes are not captured on riscv64"):
        capture_process(os.getpid(), None)
