"""Numbers as Go's ``%v`` prints them.

Sources: fmt/print.go, fmtFloat and fmtComplex (``%g``); strconv/ftoa.go, formatDigits (Go 1.21 to 1.27).
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Final

import numpy as np

# formatDigits: exponents of ten that %g writes no exponent for, where the digits are the fewest that mean the number.
# (21, which is often told of Go, is encoding/json's border.)
_WITHOUT_EXPONENT: Final = range(-4, 6)


def float_text(value: float, *, single: bool = False) -> str:
    """Return a float64 as Go prints it, or a float32 if it is `single`: ``1``, ``1e+06``, ``NaN``, ``-Inf``."""
    if math.isnan(value):
        return "NaN"
    sign = "-" if math.copysign(1.0, value) < 0 else ""
    if math.isinf(value):
        return f"{sign or '+'}Inf"
    # Python and NumPy write the fewest digits too, each with exponents of its own.
    shortest = str(np.float32(abs(value))) if single else repr(abs(value))
    _, digits, exponent = Decimal(shortest).normalize().as_tuple()
    return sign + _general("".join(map(str, digits)), int(exponent))


def _general(digits: str, exponent: int) -> str:
    """Return the number of `digits` times 10 to the `exponent`."""
    leading = len(digits) + exponent - 1
    if digits == "0":
        return digits
    if leading not in _WITHOUT_EXPONENT:
        rest = f".{digits[1:]}" if len(digits) > 1 else ""
        return f"{digits[0]}{rest}e{'-' if leading < 0 else '+'}{abs(leading):02}"
    if exponent >= 0:
        return digits + "0" * exponent
    if leading < 0:
        return f"0.{'0' * (-leading - 1)}{digits}"
    return f"{digits[: leading + 1]}.{digits[leading + 1 :]}"


def complex_text(value: complex, *, single: bool = False) -> str:
    """Return a complex128 as Go prints it, or a complex64 if it is `single`: ``(1-2i)``."""
    real, imaginary = (float_text(part, single=single) for part in (value.real, value.imag))
    return f"({real}{'' if imaginary[0] in '+-' else '+'}{imaginary}i)"
