"""The second process of the first run: what it compiles is what the run needs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.build import Mode, scenario_program
from tests.support.process import running
from tests.support.toolchains import Toolchain

COMPILED = """
import sys
from heldby.jit import watch_compilation
import heldby
from heldby.analysis import answer_of
with watch_compilation(print):
    answer_of(heldby.open(int(sys.argv[1])))
"""


@pytest.mark.slow
@pytest.mark.ptrace
def test_kernels_compiled_ahead_are_not_compiled_again(tmp_path: Path, go: Toolchain) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-m", "heldby.warming"], env=environment, check=True, timeout=200)

    with running(scenario_program("shared", go, Mode.STRIPPED)) as program:
        answer = subprocess.run(
            [sys.executable, "-c", COMPILED, str(program.pid)],
            env=environment,
            check=True,
            timeout=200,
            capture_output=True,
            text=True,
        )

    compiled = answer.stdout.split()
    assert any("find_roots" in name for name in compiled)
    for ahead in ("scan_amd64", "semi_nca", "merge_paths", "find_first_referrers", "collect_owners"):
        assert not any(ahead in name for name in compiled), compiled
