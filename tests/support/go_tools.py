"""Tools written in Go that tests use, each built once for a toolchain from the Go module proxy."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from tests.support.toolchains import Toolchain, ToolchainMissing, cache_directory, locked

_DELVE: Final = "v1.26.0"
#: garble patches the linker, so each of its releases serves few of Go's (its CHANGELOG.md). That for Go 1.23,
#: v0.13.0, is not to be had from the module proxy any more.
_GARBLES: Final = {
    "1.27": "v0.18.0",
    "1.26": "v0.16.0",
    "1.25": "v0.15.0",
    "1.24": "v0.14.2",
    "1.22": "v0.12.1",
    "1.21": "v0.11.0",
}


def delve(toolchain: Toolchain) -> Path:
    """Return the debugger ``dlv``; the first use builds it, a minute. Raises `ToolchainMissing`."""
    return _installed(toolchain, "github.com/go-delve/delve/cmd/dlv", _DELVE)


def garble(toolchain: Toolchain) -> Path:
    """Return the obfuscator that serves `toolchain`; the first use builds it, half a minute.

    Raises:
        ToolchainMissing: if there is none for this release, or it cannot be had.
    """
    version = _GARBLES.get(toolchain.minor)
    if version is None:
        raise ToolchainMissing(f"no garble for Go {toolchain.minor} can be had")
    return _installed(toolchain, "mvdan.cc/garble", version)


def _installed(toolchain: Toolchain, package: str, version: str) -> Path:
    name = package.rpartition("/")[2]
    directory = cache_directory() / name / f"{version}-go{toolchain.version}"
    program = directory / name
    with locked(directory):
        if not program.exists():
            answer = subprocess.run(
                [str(toolchain.go), "install", f"{package}@{version}"],
                env=toolchain.environment() | {"GOBIN": str(directory)},
                capture_output=True,
                text=True,
                check=False,
            )
            if answer.returncode != 0:
                raise ToolchainMissing(f"{name} {version} cannot be had:\n{answer.stderr.strip()}")
    return program
