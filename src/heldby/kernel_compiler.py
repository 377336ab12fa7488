"""Numba's compiler with what kernels do not need left out: the first run on a machine waits for it.

Numba turns each function that a kernel calls into a module of its own, optimises it, makes machine code of it,
and then links and optimises it again with each caller. Helpers that only kernels call need none of that: their
code is optimised once, where it is linked in. And ``u64(8)`` is three statements and a call to be resolved; it
becomes one constant before anything looks at it. Together this saves a
sixth of the time of a first run (docs/decisions/0003-numba-kernels.md).

These are Numba's documented ways to extend it (a `pipeline_class` and passes of one's own), except for the
class of the library, which is internal: `tests/graph/test_kernel_compiler.py` notices when it changes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.core import ir
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder, _LowerResult
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.typed_passes import NativeLowering
from numba.core.untyped_passes import FixupArgs

_NUMBERS = (ir.Const, ir.Global, ir.FreeVar)


class KernelCompiler(CompilerBase):  # type: ignore[misc]
    """Compiles kernels: constants are folded first."""

    def define_pipelines(self) -> list[Any]:
        """Return Numba's passes with ours among them."""
        manager = DefaultPassBuilder.define_nopython_pipeline(self.state)
        manager.add_pass_after(_FoldConstants, FixupArgs)
        manager.finalize()
        return [manager]


class HelperCompiler(CompilerBase):  # type: ignore[misc]
    """Compiles what only kernels call: no machine code of its own."""

    def define_pipelines(self) -> list[Any]:
        """Return the passes of `KernelCompiler` with another last step."""
        manager = DefaultPassBuilder.define_nopython_pipeline(self.state)
        manager.add_pass_after(_FoldConstants, FixupArgs)
        manager.passes = [
            (_HelperLowering if step is NativeLowering else step, told) for step, told in manager.passes
        ]
        manager._finalized = False  # noqa: SLF001
        manager.finalize()
        return [manager]


@register_pass(mutates_CFG=False, analysis_only=False)
class _FoldConstants(FunctionPass):  # type: ignore[misc]
    """Make ``u64(8)`` and ``u64(_NAME)`` one constant."""

    _name = "heldby_fold_constants"

    def __init__(self) -> None:
        FunctionPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        definitions = state.func_ir._definitions  # noqa: SLF001
        changed = False
        for block in state.func_ir.blocks.values():
            known: dict[str, Any] = {}  # what the block's statements made of numbers and of `u64`
            done: set[str] = set()
            for statement in block.body:
                if not isinstance(statement, ir.Assign):
                    continue
                value, target = statement.value, statement.target
                if isinstance(value, _NUMBERS) and target.is_temp:
                    known[target.name] = value.value
                elif (number := _folded(value, known)) is not None:
                    statement.value = ir.Const(number, value.loc, use_literal_type=False)
                    definitions[target.name] = [statement.value]
                    done |= {value.func.name, value.args[0].name}
            if done:
                changed = True
                block.body = [
                    statement
                    for statement in block.body
                    if not (isinstance(statement, ir.Assign) and statement.target.name in done)
                ]
                for name in done:
                    definitions.pop(name, None)
        return changed


def _folded(value: Any, known: dict[str, Any]) -> np.uint64 | None:
    """Return the number that a call of `u64` with a constant gives."""
    if not (isinstance(value, ir.Expr) and value.op == "call") or value.kws or len(value.args) != 1:
        return None
    # A temporary is the operand of one statement (the stack machine that it comes from has popped it).
    if known.get(value.func.name) is not types.uint64:
        return None
    number = known.get(value.args[0].name)
    if type(number) is not int or not 0 <= number < 1 << 64:
        return None
    return np.uint64(number)


@register_pass(mutates_CFG=True, analysis_only=False)
class _HelperLowering(NativeLowering):  # type: ignore[misc]
    """Lower a function for its callers alone."""

    _name = "heldby_helper_lowering"

    def __init__(self) -> None:
        NativeLowering.__init__(self)

    def run_pass(self, state: Any) -> bool:
        state.library = _HelperLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        super().run_pass(state)
        lowered = state["cr"]
        # Numba knows an implementation by its entry point, which must be a built-in function, each another one.
        # This one is never called, and fails whatever it is called with.
        entry_point: Any = [].pop
        state.targetctx.insert_user_function(entry_point, lowered.fndesc, [state.library])
        state["cr"] = _LowerResult(lowered.fndesc, lowered.call_helper, cfunc=entry_point, env=lowered.env)
        return True


class _HelperLibrary(JITCodeLibrary):  # type: ignore[misc]
    """Code that waits to be linked into a kernel."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True
