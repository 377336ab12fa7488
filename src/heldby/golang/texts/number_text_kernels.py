"""How many bytes numbers take as text: decimal integers, and floats as encoding/json writes them.

The shortest decimal that reads back as the same float is found by Schubfach (Raffaello Giulietti, "The
Schubfach way to render doubles", 2020), which agrees with strconv's digits: both return the shortest, and of
these the closest. Only the number of digits and the exponent are kept. The powers of ten are 128 bits wide
and computed once, exactly, with Python's integers.
"""

# mypy: ignore-errors
from __future__ import annotations

import numpy as np

from heldby.jit import ONE, ZERO, high_product, inline_kernel, inner_kernel, kernel, u64

_LOWEST_POWER, _HIGHEST_POWER = -292, 325


def _powers_of_ten():
    """Return ``uint64[617, 2]``: 10**k scaled to 128 bits, rounded up; upper and lower half."""
    rows = []
    for k in range(_LOWEST_POWER, _HIGHEST_POWER):
        ten = 10 ** abs(k)
        if k >= 0:
            shift = 128 - ten.bit_length()
            scaled = ten << shift if shift >= 0 else -(-ten >> -shift)
        else:
            # 2**e / 10**-k with 128 bits before the point.
            scaled = -(-(1 << (127 + ten.bit_length())) // ten)
            if scaled >> 128:
                scaled = -(-scaled >> 1)
        rows.append((scaled >> 64, scaled & 0xFFFFFFFFFFFFFFFF))
    return np.array(rows, np.uint64)


POWERS_OF_TEN = _powers_of_ten()


@inline_kernel
def decimal_digits(value):
    """Return the digits of a ``uint64`` in decimal; 1 for 0."""
    count = ONE
    while value >= u64(10000):
        value //= u64(10000)
        count += u64(4)
    if value >= u64(1000):
        return count + u64(3)
    if value >= u64(100):
        return count + u64(2)
    if value >= u64(10):
        return count + ONE
    return count


@inline_kernel
def varint_bytes(value):
    """Return the bytes of a ``uint64`` in groups of seven bits (encoding/binary, PutUvarint)."""
    count = ONE
    while value >= u64(128):
        value >>= u64(7)
        count += ONE
    return count


@inline_kernel
def _round_to_odd(high, low, scaled):
    carried = high_product(low, scaled)
    lower, upper = high * scaled, high_product(high, scaled)
    total = lower + carried
    if total < lower:
        upper += ONE
    return upper | (ONE if total > ONE else ZERO)


@inner_kernel
def float_text_bytes(powers, bits, is_single):
    """Return how long encoding/json writes the float with these bits; 0 for NaN and infinities.

    Args:
        powers: `POWERS_OF_TEN`.
        bits: of the float64, or of the float32 in the lower half.
        is_single: whether it is a float32.
    """
    if is_single:
        fraction_bits, exponent_mask, bias = u64(23), u64(0xFF), np.int64(150)
        negative = (bits >> u64(31)) & ONE
    else:
        fraction_bits, exponent_mask, bias = u64(52), u64(0x7FF), np.int64(1075)
        negative = bits >> u64(63)
    fraction = bits & ((ONE << fraction_bits) - ONE)
    biased = (bits >> fraction_bits) & exponent_mask
    if biased == exponent_mask:
        return ZERO
    if biased == ZERO and fraction == ZERO:
        return ONE + negative
    if biased:
        c, q = fraction | (ONE << fraction_bits), np.int64(biased) - bias
    else:
        c, q = fraction, np.int64(1) - bias
    digits, exponent = ZERO, np.int64(0)
    whole = False
    if q <= 0 and -q <= np.int64(fraction_bits):
        shift = u64(-q)
        if (c & ((ONE << shift) - ONE)) == ZERO:
            digits, whole = c >> shift, True
    if not whole:
        closer = ONE if fraction == ZERO and biased > ONE else ZERO
        odd = c & ONE
        k = (q * 1262611 - (524031 if closer else 0)) >> 22
        h = u64(q + ((-k * 1741647) >> 19) + 1)
        row = u64(-k - _LOWEST_POWER)
        high, low = powers[row, u64(0)], powers[row, u64(1)]
        lower = _round_to_odd(high, low, (u64(4) * c - u64(2) + closer) << h) + odd
        middle = _round_to_odd(high, low, (u64(4) * c) << h)
        upper = _round_to_odd(high, low, (u64(4) * c + u64(2)) << h) - odd
        s = middle >> u64(2)
        done = False
        if s >= u64(10):
            tens = s // u64(10)
            up = lower <= u64(40) * tens
            down = u64(40) * tens + u64(40) <= upper
            if up != down:
                digits, exponent, done = tens + (ONE if down else ZERO), k + 1, True
        if not done:
            up = lower <= u64(4) * s
            down = u64(4) * s + u64(4) <= upper
            if up != down:
                digits = s + (ONE if down else ZERO)
            else:
                half = u64(4) * s + u64(2)
                digits = s + (ONE if middle > half or (middle == half and s & ONE) else ZERO)
            exponent = k
        while digits % u64(10) == ZERO:
            digits //= u64(10)
            exponent += 1
    count = np.int64(decimal_digits(digits))
    point = count + exponent
    # encoding/json/encode.go, floatEncoder: an exponent below 1e-6 and from 1e21 on.
    if point < -5 or point > 21:
        while digits % u64(10) == ZERO:
            digits //= u64(10)
            count -= 1
        size = count + (1 if count > 1 else 0) + 2
        size += np.int64(decimal_digits(u64(abs(point - 1))))
    elif point <= 0:
        size = 2 - point + count
    elif point >= count:
        size = point
    else:
        size = count + 1
    return u64(size) + negative


@kernel
def measure_floats(powers, bits, is_single, out):
    """Set ``out[i]`` to `float_text_bytes` of ``bits[i]``; for tests of many."""
    for i in range(u64(bits.size)):
        out[i] = float_text_bytes(powers, bits[i], is_single)
