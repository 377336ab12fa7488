"""Builds the Go programs that tests look into, once for each content, toolchain and mode.

The cache key covers every file of the program's module, the Go version and the build flags, so a built
program is never stale; the cache is shared by all checkouts and pruned by nobody: remove it at will.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from tests.support.go_tools import garble
from tests.support.toolchains import Toolchain, cache_directory, locked

REPOSITORY = Path(__file__).resolve().parents[2]
SCENARIOS = REPOSITORY / "tests" / "scenarios"

_GO_LINE = re.compile(r"^go (\d+\.\d+)\S*$", re.MULTILINE)
_SOURCES = (".go", ".s", ".mod", ".sum")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a program is built.

    Attributes:
        flags: what ``go build`` gets.
        cgo: whether it is linked with the C library, by the C linker.
        garbled: built by garble (mvdan.cc/garble), which renames what it can.
        drop: sections that are removed from the finished file.
        arch: Go's name of the processor.
    """

    flags: tuple[str, ...] = ()
    cgo: bool = False
    garbled: bool = False
    drop: tuple[str, ...] = ()
    arch: str = "amd64"


class Mode(Enum):
    """The ways in which people build what they ship; docs/matrix.md has one column for each."""

    DEFAULT = Recipe()
    NO_DWARF = Recipe(flags=("-ldflags=-w",))
    STRIPPED = Recipe(flags=("-ldflags=-s -w",))
    TRIMMED = Recipe(flags=("-trimpath",))
    UNOPTIMISED = Recipe(flags=("-gcflags=all=-N -l",))
    TAGGED = Recipe(flags=("-tags=netgo,osusergo",))
    POSITION_INDEPENDENT = Recipe(flags=("-buildmode=pie",))
    STRIPPED_PIE = Recipe(flags=("-buildmode=pie", "-ldflags=-s -w"))
    #: esbuild is shipped like this: nothing says which release built it but the runtime itself.
    NO_BUILD_INFO = Recipe(flags=("-trimpath", "-ldflags=-s -w"), drop=(".go.buildinfo", ".note.go.buildid"))
    #: Nothing says which release it is: known by the structures of its runtime.
    NO_RELEASE = Recipe(
        flags=("-trimpath", "-ldflags=-s -w -X runtime.buildVersion=unknown"), drop=(".go.buildinfo",)
    )
    CGO = Recipe(flags=("-ldflags=-linkmode=external",), cgo=True)
    CGO_STATIC = Recipe(flags=("-ldflags=-linkmode=external -extldflags=-static",), cgo=True)
    #: The C linker merges sections and moves pointers to read-only data into .data.rel.ro.
    CGO_STRIPPED_PIE = Recipe(flags=("-buildmode=pie", "-ldflags=-s -w -linkmode=external"), cgo=True)
    RACE = Recipe(flags=("-race",), cgo=True)
    GARBLED = Recipe(garbled=True)
    ARM64 = Recipe(arch="arm64")
    ARM64_STRIPPED = Recipe(flags=("-ldflags=-s -w",), arch="arm64")


#: The two ends between which production builds lie.
MODES = (Mode.DEFAULT, Mode.STRIPPED)


class BuildFailed(RuntimeError):
    """``go build`` did not succeed; the message is what it said."""


def build(package: Path, toolchain: Toolchain, mode: Mode = Mode.DEFAULT) -> Path:
    """Return the executable of the Go program in ``package``, built now or earlier.

    The program keeps its directory's name, since that is what the process is called.

    Raises:
        BuildFailed: with the compiler's words.
    """
    package = package.resolve()
    module = _module_root(package)
    key = _content_key(package, module, toolchain, mode)
    directory = (
        cache_directory() / "programs" / f"{package.name}-go{toolchain.version}-{mode.name.lower()}-{key}"
    )
    program = directory / package.name
    with locked(directory):
        if not program.exists():
            directory.mkdir(exist_ok=True)
            _compile(package, toolchain, mode, program)
    return program


def scenario_program(name: str, toolchain: Toolchain, mode: Mode = Mode.DEFAULT) -> Path:
    """Return the executable of the scenario ``tests/scenarios/programs/<name>``."""
    return build(SCENARIOS / "programs" / name, toolchain, mode)


def _compile(package: Path, toolchain: Toolchain, mode: Mode, program: Path) -> None:
    with tempfile.TemporaryDirectory(dir=program.parent) as temporary:
        output = Path(temporary) / program.name
        recipe = mode.value
        builder = [str(garble(toolchain))] if recipe.garbled else [str(toolchain.go)]
        environment = toolchain.environment()
        environment["GOARCH"] = recipe.arch
        environment["CGO_ENABLED"] = "1" if recipe.cgo else "0"
        environment["PATH"] = f"{toolchain.go.parent}{os.pathsep}{environment['PATH']}"  # garble asks for go
        language = _language(package, toolchain, Path(temporary))
        if language and recipe.garbled:
            package, language = _lowered_copy(package, Path(temporary)), []
        _run([*builder, "build", *recipe.flags, *language, "-o", str(output), "."], package, environment)
        if recipe.drop:
            removals = [f"--remove-section={section}" for section in recipe.drop]
            _run(["objcopy", *removals, str(output)], package, environment)
        output.rename(program)


def _run(command: list[str], directory: Path, environment: dict[str, str]) -> None:
    answer = subprocess.run(
        command,
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode != 0:
        raise BuildFailed(f"{' '.join(command)} in {directory}:\n{answer.stdout}{answer.stderr}")


def _language(package: Path, toolchain: Toolchain, directory: Path) -> list[str]:
    """Return flags with which a toolchain that is older than the module's ``go`` line builds it all the same.

    The line also chooses GODEBUG settings (how timers work, for one), so newer releases keep the module's own.
    """
    text = (_module_root(package) / "go.mod").read_text()
    wanted = _GO_LINE.search(text)
    if wanted is None or wanted[1] <= toolchain.minor:
        return []
    lowered = directory / "go.mod"
    lowered.write_text(_GO_LINE.sub(f"go {toolchain.minor}", text))
    return [f"-modfile={lowered}"]


def _lowered_copy(package: Path, directory: Path) -> Path:
    """Copy the module with the ``go.mod`` in `directory`: garble asks go list itself, without our flags."""
    module = _module_root(package)
    copy = Path(shutil.copytree(module, directory / "module"))
    shutil.copy(directory / "go.mod", copy / "go.mod")
    return copy / package.relative_to(module)


def _module_root(package: Path) -> Path:
    for directory in (package, *package.parents):
        if (directory / "go.mod").exists():
            return directory
    raise BuildFailed(f"{package} lies in no Go module")


def _content_key(package: Path, module: Path, toolchain: Toolchain, mode: Mode) -> str:
    """Hash the program's own files, and those of its module's root and shared packages.

    A sibling directory that is a program of its own cannot be imported, so its files do not count.
    """
    digest = hashlib.sha256()
    for text in (toolchain.version, repr(mode.value)):
        digest.update(text.encode() + b"\0")
    for path in sorted(_sources(package, module)):
        digest.update(os.fsencode(path.relative_to(module)) + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _sources(package: Path, module: Path) -> set[Path]:
    found: set[Path] = set()
    for path in module.rglob("*"):
        if path.suffix not in _SOURCES:
            continue
        own = path.parent == module or path.is_relative_to(package)
        if own or not (path.parent / "main.go").exists():
            found.add(path)
    return found
