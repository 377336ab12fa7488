"""Lengths of numbers as text, against Python's own shortest digits."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from numpy.typing import NDArray

from heldby.golang.texts.number_text_kernels import POWERS_OF_TEN, measure_floats

RANDOM = np.random.default_rng(20261122)


def lengths(bits: NDArray[np.uint64], *, single: bool) -> list[int]:
    out = np.zeros(bits.size, np.uint64)
    measure_floats(POWERS_OF_TEN, bits, single, out)
    return out.tolist()


def go_length(shortest: str, *, scientific: bool) -> int:
    """Return how long Go writes a number whose shortest digits Python prints so."""
    sign, digits, exponent = Decimal(shortest).normalize().as_tuple()
    assert isinstance(exponent, int)
    count, point = len(digits), len(digits) + exponent
    if not any(digits):
        return 1 + sign
    if scientific:
        return sign + count + (count > 1) + 2 + len(str(abs(point - 1)))
    if point <= 0:
        return sign + 2 - point + count
    return sign + (point if point >= count else count + 1)


@pytest.mark.parametrize(
    ("value", "length"),
    [
        (0.0, 1),
        (-0.0, 2),
        (0.1, 3),
        (1e20, 21),  # 100000000000000000000
        (1e21, 5),  # 1e+21
        (1e-6, 8),  # 0.000001
        (1e-7, 4),  # 1e-7
        (5e-324, 6),
        (1.7976931348623157e308, 23),
        (-123456.789, 11),
        (float("nan"), 0),
        (float("inf"), 0),
    ],
)
def test_length_of_a_float(value: float, length: int) -> None:
    assert lengths(np.array([value]).view(np.uint64), single=False) == [length]


def test_shortest_digits_of_doubles_are_those_of_repr() -> None:
    values = np.concatenate(
        (
            RANDOM.integers(0, 1 << 64, 20_000, dtype=np.uint64).view(np.float64),
            np.round(RANDOM.random(5_000) * 1e6, 2),
            2.0 ** np.arange(-1074, 1024),
            10.0 ** np.arange(-323, 309),
        )
    )
    values = values[np.isfinite(values)]

    found = lengths(values.view(np.uint64), single=False)

    expected = [
        go_length(repr(value), scientific=value != 0 and not 1e-6 <= abs(value) < 1e21)
        for value in values.tolist()
    ]
    assert found == expected


def test_shortest_digits_of_floats_are_those_of_numpy() -> None:
    values = np.concatenate(
        (
            RANDOM.integers(0, 1 << 32, 20_000, dtype=np.uint32).view(np.float32),
            np.round(RANDOM.random(5_000) * 1e4, 2).astype(np.float32),
            (2.0 ** np.arange(-149, 128)).astype(np.float32),
        )
    )
    values = values[np.isfinite(values)]
    low, high = np.float32(1e-6), np.float32(1e21)

    found = lengths(values.view(np.uint32).astype(np.uint64), single=True)

    expected = [
        go_length(str(value), scientific=bool(value != 0 and not low <= abs(value) < high))
        for value in values
    ]
    assert found == expected
