"""The second process of the first run: its list of kernels is what a run compiles."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module, resources
from pathlib import Path

import pytest

from heldby.jit import Kernel
from heldby.jit.signature import decoded, encoded
from heldby.warming import ahead_of_a_run
from tests.support.build import Mode, scenario_program
from tests.support.process import running
from tests.support.toolchains import Toolchain

LISTED = json.loads(resources.files("heldby").joinpath("kernel_signatures.json").read_text("utf-8"))
COMPILED = """
import sys
import heldby
from heldby.analysis.answering import answer_of
from heldby.jit import watch_compilation
with watch_compilation(lambda kernel, kinds: print(kernel.__name__)):
    answer_of(heldby.open(int(sys.argv[1])).heap)
"""


@pytest.mark.parametrize("entry", LISTED, ids=lambda entry: entry["kernel"])
def test_each_listed_kernel_exists_and_its_arguments_can_be_read_back(entry: dict) -> None:
    kernel = getattr(import_module(entry["module"]), entry["kernel"])

    assert isinstance(kernel, Kernel)
    assert [encoded(decoded(argument)) for argument in entry["arguments"]] == entry["arguments"]


def test_the_second_process_begins_with_typing_and_leaves_nothing_out() -> None:
    order = ahead_of_a_run(LISTED)

    assert sorted(order, key=LISTED.index) == LISTED
    assert order[0]["kernel"] == "propagate"
    assert order[-1] == LISTED[0]


@pytest.mark.slow
@pytest.mark.ptrace
@pytest.mark.parametrize("mode", [Mode.DEFAULT, Mode.STRIPPED])
def test_nothing_is_left_to_compile_for_a_run(tmp_path: Path, go: Toolchain, mode: Mode) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-m", "heldby.warming"], env=environment, check=True, timeout=200)

    with running(scenario_program("shared", go, mode)) as program:
        answer = subprocess.run(
            [sys.executable, "-c", COMPILED, str(program.pid)],
            env=environment,
            check=True,
            timeout=200,
            capture_output=True,
            text=True,
        )

    assert answer.stdout.split() == []
