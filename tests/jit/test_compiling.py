"""How kernels are compiled: no result changes by what is left out, and helpers become part of them."""
# mypy: ignore-errors

from __future__ import annotations

import io

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile

from heldby.jit import (
    high_product,
    inline_kernel,
    inner_kernel,
    kernel,
    popcount,
    prefetch,
    trailing_zeros,
    u64,
)
from heldby.jit.compiling import compiled
from heldby.jit.signature import unpacked

EIGHT = 8
NEGATIVE = -1


@inner_kernel
def twice(x):
    return x * u64(2)


@inline_kernel
def one_more(x):
    return x + u64(1)


@kernel
def mixed(x):
    return one_more(twice(x)) + (x << u64(EIGHT)) + u64(0x8000000000000000)


@kernel
def wrapped(x):
    return x + u64(NEGATIVE)


@kernel
def shadowed(x, u64):
    return x + u64[0]


@kernel
def of_a_variable(x):
    y = 3
    for _ in range(2):
        y += 1
    return x + u64(y)


@kernel
def of_a_truth(x):
    return x + u64(True)


@kernel
def of_another(x):
    return mixed(x) + u64(1)


@kernel
def bits(word):
    return popcount(word), trailing_zeros(word), high_product(word, word)


@kernel
def prefetching(numbers):
    total = u64(0)
    for i in range(numbers.size):
        prefetch(numbers, u64(i))
        total += numbers[u64(i)]
    return total


def symbols(function, *arguments):
    """The names of the functions in the object file of a kernel, and of those that it needs from elsewhere."""
    made = compiled(function.function, unpacked(arguments)[0])
    table = ELFFile(io.BytesIO(made.code)).get_section_by_name(".symtab")
    named = [
        symbol for symbol in table.iter_symbols() if symbol.name and symbol["st_info"]["bind"] != "STB_LOCAL"
    ]
    inside = {symbol.name for symbol in named if isinstance(symbol["st_shndx"], int)}
    return inside, {symbol.name for symbol in named if symbol["st_shndx"] == "SHN_UNDEF"}


def test_constants_keep_their_values() -> None:
    assert mixed(np.uint64(5)) == 11 + (5 << 8) + 2**63
    assert wrapped(np.uint64(5)) == 4
    assert shadowed(np.uint64(5), np.array([7], np.uint64)) == 12
    assert of_a_variable(np.uint64(5)) == 10
    assert of_a_truth(np.uint64(5)) == 6


def test_a_constant_is_no_call() -> None:
    from heldby.jit.compiling import _OPTIONS, CPUDispatcher, _Compiler

    dispatcher = CPUDispatcher(mixed.function, targetoptions=_OPTIONS, pipeline_class=_Compiler)
    dispatcher.compile("(uint64,)")
    text = io.StringIO()

    dispatcher.inspect_types(text)

    assert "one_more" in text.getvalue()
    assert "global(u64" not in text.getvalue()
    assert "const(uint64, 8)" in text.getvalue()


@pytest.mark.parametrize("helper", [twice, one_more])
def test_a_helper_cannot_be_called_from_python(helper) -> None:
    with pytest.raises(TypeError):
        helper(np.uint64(5))


def test_helpers_and_the_door_to_python_are_left_out_of_the_code() -> None:
    inside, outside = symbols(mixed, np.uint64(5))

    assert len(inside) == 1
    assert "mixed" in inside.pop()
    assert outside == set()


def test_a_kernel_that_another_one_calls_is_compiled_into_it() -> None:
    assert of_another(np.uint64(5)) == mixed(np.uint64(5)) + 1


def test_bit_instructions_count_from_both_ends() -> None:
    assert bits(np.uint64(0)) == (0, 64, 0)
    assert bits(np.uint64(0b1011000)) == (3, 3, 0)
    assert bits(np.uint64(2**64 - 1)) == (64, 0, 2**64 - 2)


def test_prefetching_changes_no_result() -> None:
    assert prefetching(np.arange(100, dtype=np.uint64)) == 4950


def test_an_instruction_cannot_be_called_from_python() -> None:
    with pytest.raises(TypeError):
        popcount(np.uint64(5))
