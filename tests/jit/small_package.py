"""A package of heldby's name with its `jit` and two kernel modules of its own, to change at will."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from heldby import jit

JIT = Path(jit.__file__).parent
HELPER = """
from heldby.jit import inline_kernel
STEP = {step}
@inline_kernel
def shift(x):
    return x + STEP
"""
CALLER = """# mypy: ignore-errors
import numpy as np
from heldby.jit import kernel
from heldby.help_kernels import (
    shift,
)
@kernel
def run(x):
    return shift(x)
"""
RUN = """
from heldby import jit
compiled = []
with jit.watch_compilation(lambda kernel, kinds: compiled.append(kernel.__name__)):
    from heldby.call_kernels import run
    print(run(1), compiled, jit.cache_folder() is not None)
"""


def make_package(folder: Path) -> Path:
    """Make the package below `folder` and return where it is."""
    package = folder / "lib" / "heldby"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    shutil.copytree(JIT, package / "jit", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(JIT.parent / "digests.py", package)
    (package / "help_kernels.py").write_text(HELPER.format(step=1))
    (package / "call_kernels.py").write_text(CALLER)
    return package


def run(package: Path, code: str = RUN, **environment: str) -> str:
    """Run `code` with `package` in a fresh process; PATH and `environment` are all that it gets."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(package.parent), **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()
