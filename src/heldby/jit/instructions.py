"""The instructions that kernels use and Python has no word for, as Numba's intrinsics."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


@intrinsic  # type: ignore[untyped-decorator]
def prefetch(_typing_context: Any, array: Any, index: Any) -> Any:
    """``llvm.prefetch`` for reading, to be kept in all caches."""
    signature = types.void(array, types.uint64)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        pointer_type = ir.IntType(8).as_pointer()
        pointer = builder.bitcast(builder.gep(data, [args[1]]), pointer_type)
        i32 = ir.IntType(32)
        function = builder.module.declare_intrinsic(
            "llvm.prefetch", [pointer_type], ir.FunctionType(ir.VoidType(), [pointer_type, i32, i32, i32])
        )
        builder.call(function, [pointer, ir.Constant(i32, 0), ir.Constant(i32, 3), ir.Constant(i32, 1)])
        return context.get_dummy_value()

    return signature, generate


@intrinsic  # type: ignore[untyped-decorator]
def popcount(_typing_context: Any, word: Any) -> Any:
    """``llvm.ctpop.i64``."""
    signature = types.uint64(types.uint64)

    def generate(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return signature, generate


@intrinsic  # type: ignore[untyped-decorator]
def trailing_zeros(_typing_context: Any, word: Any) -> Any:
    """``llvm.cttz.i64``, defined for 0."""
    signature = types.uint64(types.uint64)

    def generate(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return signature, generate


@intrinsic  # type: ignore[untyped-decorator]
def high_product(_typing_context: Any, left: Any, right: Any) -> Any:
    """The upper half of ``mul i128``."""
    signature = types.uint64(types.uint64, types.uint64)

    def generate(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        wide = ir.IntType(128)
        product = builder.mul(builder.zext(args[0], wide), builder.zext(args[1], wide))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))

    return signature, generate
