"""Numba's compiler with what kernels do not need left out: the first run on a machine waits for it.

Numba turns each function that a kernel calls into a module of its own, optimises it, makes machine code of it,
and then links and optimises it again with each caller. Helpers that only kernels call need none of that: their
code is optimised once, where it is linked in. Kernels need no door to Python, which unpacks and checks every
argument and costs as much to compile as a small kernel itself (`heldby.jit.calling` calls them as they are), and
no place in LLVM's engine: an object file is all that is wanted. And ``u64(8)`` is three statements and a call to
be resolved; it becomes one constant before anything looks at it (docs/decisions/0003-numba-kernels.md).

These are Numba's documented ways to extend it (a `pipeline_class` and passes of one's own), except for the
class of the library, which is internal: `tests/jit/test_compiling.py` notices when it changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final

import numpy as np
from numba import types
from numba.core import ir
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder, _LowerResult
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.registry import CPUDispatcher, cpu_target
from numba.core.typed_passes import NativeLowering
from numba.core.untyped_passes import FixupArgs

from heldby.jit import instructions
from heldby.jit.kernel_files import CompiledKernel
from heldby.jit.signature import Kind, is_array

_NUMBERS: Final = (ir.Const, ir.Global, ir.FreeVar)
# Kernels never allocate, so they need no reference counts (a fifth of the compile time, and up to a third of
# the run time of kernels that take many arrays), and Numba's rewriting of array expressions and `print` finds
# nothing in plain loops.
_OPTIONS: Final = {
    "nopython": True,
    "boundscheck": None,
    "error_model": "numpy",
    "_nrt": False,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "no_rewrites": True,
}


def compiled(function: Callable[..., Any], kinds: Sequence[Kind]) -> CompiledKernel:
    """Compile `function` for arguments of these `kinds`; 0.1 to 4 s of CPU.

    Raises:
        numba.core.errors.NumbaError: it is no function that Numba compiles.
    """
    dispatcher = CPUDispatcher(function, targetoptions=_OPTIONS, pipeline_class=_Compiler)
    signature = tuple(numba_type(kind) for kind in kinds)
    dispatcher.compile(signature)
    made = dispatcher.overloads[signature]
    return CompiledKernel(
        made.library.object_code(), made.fndesc.llvm_func_name, _returned(made.signature.return_type)
    )


def checked(function: Callable[..., Any]) -> Any:
    """Return `function` as Numba itself compiles and calls it: an index out of bounds is an exception then."""
    options = {"nopython": True, "boundscheck": None, "error_model": "numpy", "_nrt": False}
    return CPUDispatcher(function, targetoptions=options)


@cache
def helper(function: Callable[..., Any], *, inlined: bool) -> Any:
    """Return Numba's side of a helper; its type refers to it weakly, so it must stay."""
    options = {**_OPTIONS, "forceinline": True} if inlined else _OPTIONS
    return CPUDispatcher(function, targetoptions=options, pipeline_class=_Compiler)


def instruction_type(name: str) -> Any:
    """Return the type by which a kernel's code knows an instruction."""
    return cpu_target.typing_context.resolve_value_type(getattr(instructions, name))


def numba_type(kind: Kind) -> Any:
    """Return the Numba type of arguments of `kind`."""
    if isinstance(kind, str):
        return getattr(types, "boolean" if kind == "bool" else kind)
    if is_array(kind):
        name, dimensions, layout, writable, aligned = kind
        return types.Array(numba_type(name), dimensions, layout, readonly=not writable, aligned=aligned)
    source, kinds = kind
    fields = [numba_type(field) for field in kinds]
    if len(set(fields)) == 1:
        return (
            types.NamedUniTuple(fields[0], len(fields), source)
            if source
            else types.UniTuple(fields[0], len(fields))
        )
    return types.NamedTuple(fields, source) if source else types.Tuple(fields)


def _returned(kind: Any) -> str | list[str] | None:
    if isinstance(kind, types.NoneType):
        return None
    if isinstance(kind, types.BaseTuple):
        return [str(types.unliteral(field)) for field in kind]
    return str(types.unliteral(kind))


class _Compiler(CompilerBase):  # type: ignore[misc]
    """Numba's passes with constants folded first and another last step."""

    def define_pipelines(self) -> list[Any]:
        """Return Numba's passes with ours among them."""
        manager = DefaultPassBuilder.define_nopython_pipeline(self.state)
        manager.add_pass_after(_FoldConstants, FixupArgs)
        manager.passes = [
            (_Lowering if step is NativeLowering else step, told) for step, told in manager.passes
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
    if known.get(value.func.name) is not np.uint64:
        return None
    number = known.get(value.args[0].name)
    if type(number) is not int or not 0 <= number < 1 << 64:
        return None
    return np.uint64(number)


@register_pass(mutates_CFG=True, analysis_only=False)
class _Lowering(NativeLowering):  # type: ignore[misc]
    """Lower a function to LLVM's code, for the caller or an object file."""

    _name = "heldby_lowering"

    def __init__(self) -> None:
        NativeLowering.__init__(self)

    def run_pass(self, state: Any) -> bool:
        state.library = _Library(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        super().run_pass(state)
        lowered = state["cr"]
        # Numba knows an implementation by its entry point, which must be a built-in function, each another one.
        # This one is never called, and fails whatever it is called with.
        entry_point: Any = [].pop
        state.targetctx.insert_user_function(entry_point, lowered.fndesc, [state.library])
        state["cr"] = _LowerResult(lowered.fndesc, lowered.call_helper, cfunc=entry_point, env=lowered.env)
        return True


class _Library(JITCodeLibrary):  # type: ignore[misc]
    """Code that waits to be linked into a kernel, or is one."""

    def object_code(self) -> bytes:
        """Optimise it with all that it calls, and return an object file."""
        with global_compiler_lock:
            self._ensure_finalized()
            super()._optimize_final_module()
            return bytes(self._codegen._tm.emit_object(self._final_module))  # noqa: SLF001

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True
