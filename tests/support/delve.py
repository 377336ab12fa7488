"""The debugger delve, built once from the Go module proxy."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from tests.support.toolchains import Toolchain, ToolchainMissing, cache_directory, locked

_VERSION: Final = "v1.26.0"


def delve(toolchain: Toolchain) -> Path:
    """Return ``dlv``; the first use builds it, a minute.

    Raises:
        ToolchainMissing: if it cannot be had.
    """
    directory = cache_directory() / "delve" / f"{_VERSION}-go{toolchain.version}"
    program = directory / "dlv"
    with locked(directory):
        if not program.exists():
            answer = subprocess.run(
                [str(toolchain.go), "install", f"github.com/go-delve/delve/cmd/dlv@{_VERSION}"],
                env=toolchain.environment() | {"GOBIN": str(directory)},
                capture_output=True,
                text=True,
                check=False,
            )
            if answer.returncode != 0:
                raise ToolchainMissing(f"delve {_VERSION} cannot be had:\n{answer.stderr.strip()}")
    return program
