"""What the compiler of kernels leaves out: no result changes, and helpers become no machine code."""
# mypy: ignore-errors

from __future__ import annotations

import io

import numpy as np
import pytest

from heldby.jit import inline_kernel, inner_kernel, kernel, u64

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


def test_constants_keep_their_values() -> None:
    assert mixed(np.uint64(5)) == 11 + (5 << 8) + 2**63
    assert wrapped(np.uint64(5)) == 4
    assert shadowed(np.uint64(5), np.array([7], np.uint64)) == 12
    assert of_a_variable(np.uint64(5)) == 10
    assert of_a_truth(np.uint64(5)) == 6


def test_a_constant_is_no_call() -> None:
    mixed(np.uint64(5))
    text = io.StringIO()

    mixed.inspect_types(text)

    assert "one_more" in text.getvalue()
    assert "global(u64" not in text.getvalue()
    assert "const(uint64, 8)" in text.getvalue()


@pytest.mark.parametrize("helper", [twice, one_more])
def test_a_helper_becomes_code_only_inside_a_kernel(helper) -> None:
    mixed(np.uint64(5))
    mixed.recompile()  # from an earlier run's cache it comes without its helpers
    (compiled,) = helper.overloads.values()

    assert compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name) == 0
    with pytest.raises((TypeError, IndexError)):
        helper(np.uint64(5))


def test_a_kernel_from_the_cache_has_its_helpers_in_it(tmp_path, monkeypatch) -> None:
    from heldby import jit

    monkeypatch.setattr(jit, "cache_folder", lambda: tmp_path)
    first, second = kernel(mixed.py_func), kernel(mixed.py_func)
    assert first(np.uint64(5)) == mixed(np.uint64(5))

    assert second(np.uint64(5)) == mixed(np.uint64(5))
    assert sum(second.stats.cache_hits.values()) == 1
