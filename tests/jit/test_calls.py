"""What reaches a kernel is what was passed, and what it returns is what it computed."""
# mypy: ignore-errors

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heldby.jit import Kernel, kernel, u64
from heldby.jit.signature import decoded, encoded, flattened, unpacked


class Pair(NamedTuple):
    numbers: np.ndarray
    flags: np.ndarray


@kernel
def everything(wide, narrow, signed, truth, real, flat, square, pair, plain):
    flat[u64(0)] = wide
    flat[u64(1)] = narrow
    square[u64(1), u64(2)] = signed
    total = 0.0
    for i in range(pair.numbers.size):
        if pair.flags[u64(i)]:
            total += pair.numbers[u64(i)]
    if truth:
        total += real
    return signed, truth, total, flat[u64(0)], plain[0] + plain[1]


@kernel
def returns_nothing(numbers):
    numbers[u64(0)] = 7


@kernel
def returns_a_constant():
    return 0


@kernel
def returns_constants():
    return 3, True


@kernel
def last_column(table):
    total = 0
    for i in range(table.shape[0]):
        total += table[i, table.shape[1] - 1]
    return total


@kernel
def add(left, right):
    return left + right


def test_numbers_arrays_and_tuples_arrive_whole() -> None:
    flat, square = np.zeros(2, np.uint64), np.zeros((2, 3), np.int16)
    pair = Pair(np.array([1.5, 2.5, 4.0]), np.array([True, False, True]))

    found = everything(
        np.uint64(2**64 - 1), np.uint8(200), -3, True, 0.25, flat, square, pair, (np.int64(40), np.int64(2))
    )

    assert found == (-3, True, 5.75, 2**64 - 1, 42)
    assert flat.tolist() == [2**64 - 1, 200]
    assert square.tolist() == [[0, 0, 0], [0, 0, -3]]


def test_a_kernel_may_return_nothing() -> None:
    numbers = np.zeros(1, np.int64)

    assert returns_nothing(numbers) is None
    assert numbers[0] == 7


def test_a_kernel_may_return_what_was_known_when_it_was_compiled() -> None:
    assert returns_a_constant() == 0
    assert returns_constants() == (3, True)


def test_arrays_of_every_layout_are_read_by_their_strides() -> None:
    table = np.arange(24, dtype=np.int64).reshape(4, 6)
    unaligned = np.frombuffer(b"\0" + table.tobytes(), np.int64, offset=1).reshape(4, 6)
    kinds = {unpacked((one,))[0] for one in (table, table.T, table[:, ::2], unaligned)}

    assert last_column(table) == 5 + 11 + 17 + 23
    assert last_column(np.asfortranarray(table)) == 5 + 11 + 17 + 23
    assert last_column(table[:, ::2]) == 4 + 10 + 16 + 22
    assert last_column(table[::-1]) == 5 + 11 + 17 + 23
    assert last_column(unaligned) == 5 + 11 + 17 + 23
    assert {kind[2:] for (kind,) in kinds} == {
        ("C", True, True),
        ("F", True, True),
        ("A", True, True),
        ("C", False, False),
    }


@settings(max_examples=200, deadline=None)
@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1))
def test_signed_numbers_wrap_as_in_numpy(left: int, right: int) -> None:
    with np.errstate(over="ignore"):
        expected = int(np.int64(left) + np.int64(right))
    assert add(left, right) == expected


@settings(max_examples=200, deadline=None)
@given(st.floats(allow_nan=False), st.floats(allow_nan=False, allow_infinity=False))
def test_floats_are_passed_to_the_bit(left: float, right: float) -> None:
    assert add(left, right) == left + right


@pytest.mark.parametrize("argument", [None, "text", [1, 2], {1: 2}, b"bytes", 1j])
def test_other_arguments_are_refused(argument: object) -> None:
    with pytest.raises(TypeError, match="arrays, numbers and tuples"):
        add(argument, 1)


def test_kinds_can_be_written_and_read_back() -> None:
    arguments = (
        1,
        2**63,
        True,
        1.5,
        np.uint16(3),
        np.zeros((2, 2), np.uint8).T[:1],
        Pair(np.zeros(1), np.zeros(1, bool)),
        (1, np.zeros(0)),
    )
    kinds, words = unpacked(arguments)

    assert tuple(decoded(encoded(kind)) for kind in kinds) == kinds
    assert len(flattened(kinds)) == len(words)
    assert [kind for kind in kinds if isinstance(kind, str)] == [
        "int64",
        "uint64",
        "bool",
        "float64",
        "uint16",
    ]


def test_a_kernel_says_what_it_does() -> None:
    @kernel
    def documented(x):
        """Return x."""
        return x

    assert isinstance(documented, Kernel)
    assert (documented.__name__, documented.__doc__) == ("documented", "Return x.")
