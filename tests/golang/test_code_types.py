"""What code says of types: those of which it allocates one, and those of which it allocates many at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from heldby.golang.code.code_types import CodeTypes, read_code_types
from heldby.golang.functions.functions import FunctionTable
from heldby.golang.runtime.runtime import Runtime
from heldby.golang.types.types import TypeTable
from heldby.memory.image import Image
from tests.support.build import Mode, scenario_program
from tests.support.stacks import run_and_snapshot
from tests.support.toolchains import Toolchain

pytestmark = pytest.mark.ptrace


@pytest.fixture(scope="module")
def runtime(go: Toolchain) -> Runtime:
    return run_and_snapshot(scenario_program("slices", go, Mode.STRIPPED)).runtime


@pytest.fixture(scope="module")
def types(runtime: Runtime) -> TypeTable:
    return TypeTable.read(runtime)


@pytest.fixture(scope="module")
def code(runtime: Runtime, types: TypeTable) -> CodeTypes:
    return read_code_types(runtime, types, FunctionTable(runtime))


def test_what_is_made_in_slices_may_be_repeated_and_what_is_made_alone_may_not(
    types: TypeTable, code: CodeTypes
) -> None:
    (pointer,), (view,) = types.named("*main.Entry"), types.named("main.View")

    assert code.allocated[[pointer, view]].tolist() == [True, True]
    assert code.repeated[pointer]  # make([]*Entry, n)
    assert not code.repeated[view]  # &View{...}
    assert 10 < code.repeated.sum() < code.allocated.sum() / 2


def test_without_code_nothing_is_known_to_be_allocated(runtime: Runtime, types: TypeTable) -> None:
    functions = FunctionTable(runtime)
    found = read_code_types(replace(runtime, image=Image((), ())), types, functions)

    assert not found.allocated.any()
    assert not found.repeated.any()
    assert found.type_site.size == found.entry_site.size == 0


def test_without_the_functions_that_allocate_many_everything_may_be_repeated(
    runtime: Runtime, types: TypeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    functions = FunctionTable(runtime)
    monkeypatch.setattr(FunctionTable, "matching", lambda *_: np.zeros(0, np.int64))

    assert read_code_types(runtime, types, functions).repeated.all()
