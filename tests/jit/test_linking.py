"""Object files become code in memory, by our own linker where it understands them and by LLVM's elsewhere."""
# mypy: ignore-errors

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from heldby.jit import u64
from heldby.jit.compiling import compiled
from heldby.jit.kernel_files import CompiledKernel
from heldby.jit.linking import CannotLink, _loaded_by_llvm, _Object, load
from heldby.jit.signature import unpacked

ours = pytest.mark.skipif(platform.machine() != "x86_64", reason="our linker links for amd64 only")


def cleared_and_weighed(numbers, weights):
    """Needs memset, a table of constants, and float constants."""
    for i in range(numbers.size):
        numbers[u64(i)] = 0
    numbers[u64(0)] = 3
    total = 0.0
    for i in range(weights.size):
        kind = weights[u64(i)]
        if kind == 0:
            total += 0.1
        elif kind == 1:
            total += 0.7
        elif kind == 2:
            total += 1.3
        elif kind == 3:
            total += 7.7
        elif kind == 4:
            total += 9.1
    return total


@pytest.fixture(scope="module")
def made() -> CompiledKernel:
    return compiled(cleared_and_weighed, unpacked((np.zeros(1, np.int64), np.zeros(1, np.uint8)))[0])


def call(address: int) -> float:
    numbers, weights = np.ones(1000, np.int64), np.arange(5, dtype=np.uint8)
    result, raised = ctypes.c_double(), ctypes.c_void_p()
    words = unpacked((numbers, weights))[1]
    function = ctypes.CFUNCTYPE(ctypes.c_int32)(address)
    function.argtypes = [ctypes.c_void_p] * 2 + [ctypes.c_uint64] * len(words)
    assert function(ctypes.byref(result), ctypes.byref(raised), *words) == 0
    assert numbers.tolist() == [3] + [0] * 999
    return result.value


@ours
def test_our_linker_and_llvms_give_the_same_function(made: CompiledKernel) -> None:
    address, memory = _Object(made.code).linked(made.entry)
    by_llvm, engine = _loaded_by_llvm(made.code, made.entry)

    assert b"memset" in made.code
    assert call(address) == call(by_llvm) == pytest.approx(18.9)
    assert memory is not None
    assert engine is not None


@ours
def test_code_cannot_be_written_to_once_it_can_run(made: CompiledKernel) -> None:
    address, _memory = _Object(made.code).linked(made.entry)

    with Path("/proc/self/maps").open() as maps:
        rights = next(
            line.split()[1]
            for line in maps
            if int(line.split("-")[0], 16) <= address < int(line.split("-")[1].split()[0], 16)
        )
    assert rights == "r-xp"


@ours
@pytest.mark.parametrize(
    ("before", "after"),
    [(b"memset\0", b"memzet\0"), (b".ltext\0", b".ltext\0")],
    ids=["a symbol", "an entry"],
)
def test_what_our_linker_does_not_know_it_leaves_to_llvm(
    made: CompiledKernel, before: bytes, after: bytes
) -> None:
    with pytest.raises(CannotLink):
        _Object(made.code.replace(before, after)).linked(made.entry if before != after else "none")


@ours
def test_an_unknown_kind_of_relocation_is_left_to_llvm(made: CompiledKernel) -> None:
    code = bytearray(made.code)
    file = _Object(made.code)
    (section,) = [row for row, name in zip(file._sections, file._names, strict=True) if name == ".rela.ltext"]
    code[int(section["offset"]) + 8] = 99

    with pytest.raises(CannotLink):
        _Object(bytes(code)).linked(made.entry)


def test_a_process_that_only_calls_kernels_has_no_llvm_in_it(made: CompiledKernel, tmp_path) -> None:
    (tmp_path / "code").write_bytes(made.code)
    program = (
        "import sys; from pathlib import Path; from heldby.jit.linking import load\n"
        f"address, memory = load(Path({str(tmp_path / 'code')!r}).read_bytes(), {made.entry!r})\n"
        "print(address > 0, 'llvmlite' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["True", str(platform.machine() != "x86_64")]
    assert load(made.code, made.entry)[0] > 0
