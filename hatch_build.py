"""The wheel's build: kernels are compiled for it, so that no user waits for them (`heldby.shipping`)."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompileKernels(BuildHookInterface):
    """Puts machine code into wheels for Linux; a wheel for elsewhere, or made without Numba, compiles on first use."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile into the source folder, where `artifacts` in pyproject.toml picks it up."""
        if version == "editable" or sys.platform != "linux":
            return
        if find_spec("numba") is None:
            self.app.display_warning(
                "no Numba to compile kernels with: this wheel compiles them on first use"
            )
            return
        source = Path(self.root, "src")
        # An isolated build has its packages by way of this variable.
        path = os.pathsep.join(filter(None, (str(source), os.environ.get("PYTHONPATH"))))
        subprocess.run(
            [sys.executable, "-m", "heldby.shipping"], check=True, env={**os.environ, "PYTHONPATH": path}
        )
        if any(source.glob("heldby/compiled_kernels/*/*/*.kernel")):
            build_data["pure_python"] = False
            # Of libc the code needs memset alone.
            build_data["tag"] = f"py3-none-manylinux_2_17_{platform.machine()}"
