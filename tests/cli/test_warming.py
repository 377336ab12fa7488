"""The second process of the first run: its list of kernels is what a run compiles."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from heldby.jit import Kernel, shipped
from heldby.jit.signature import decoded, encoded
from heldby.warming import ahead_of_a_run, listed_kernels
from tests.support.build import Mode, scenario_program
from tests.support.process import running
from tests.support.toolchains import Toolchain

LISTED = listed_kernels("run")
ASKED = """
import json, sys
from heldby.cli.main import main
from heldby.jit import watch_compilation
capture, folder = sys.argv[1:]
say = lambda kernel, kinds: print("compiled", kernel.__name__, kinds, file=sys.stderr)
questions = 0
def ask(*words):
    global questions
    questions += 1
    code = main([words[0], capture, *words[1:], "-q"])
    if code:
        print("exit code", code, words, file=sys.stderr)
with watch_compilation(say):
    ask("explain")
    for by in ("type", "holder", "package", "module", "root", "size-class", "goroutine"):
        ask("top", "--by", by)
    for words in (["tree"], ["tree", "--objects"], ["goroutines"], ["rss"], ["size-classes"], ["cost"]):
        ask(*words)
    ask("find", "--string", "a")
    ask("find", "--string", "a[bc]")
    for query in ("FROM objects", "FROM edges", "FROM roots", "FROM dominators", "FROM strings", "FROM holders"):
        ask("sql", "SELECT * " + query)
    ask("export", "--pprof", folder + "/profile.pb.gz")
print(questions, "questions")
"""
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
    # With a setting of Numba's, shipped kernels are not used.
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_OPT": "3"}
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


@pytest.mark.ptrace
@pytest.mark.skipif(not shipped.runs_here(), reason="no kernels are shipped for this CPU")
@pytest.mark.parametrize(("name", "mode"), [("shared", Mode.STRIPPED), ("maps", Mode.DEFAULT)])
def test_shipped_kernels_are_all_that_the_usual_questions_need(
    captures: Callable[[str, Mode], Path], tmp_path: Path, name: str, mode: Mode
) -> None:
    capture = tmp_path / "a.core"
    shutil.copy(captures(name, mode), capture)
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "kernels")}

    asked = subprocess.run(
        [sys.executable, "-c", ASKED, str(capture), str(tmp_path)],
        env=environment,
        check=True,
        timeout=200,
        capture_output=True,
        text=True,
    )

    assert asked.stderr == ""
    assert asked.stdout.splitlines()[-1] == "23 questions"
    assert list(tmp_path.rglob("*.kernel")) == []
