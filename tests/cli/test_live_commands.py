"""The commands on a live Go process, end to end: what they print, write and leave behind."""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import heldby
from heldby.cli.main import main
from heldby.profiles.pprof_read import read_profile
from tests.render.test_json_output import SCHEMA_1, violations
from tests.support.build import Mode, scenario_program
from tests.support.process import Running, running
from tests.support.toolchains import Toolchain, any_toolchain

pytestmark = pytest.mark.ptrace


@pytest.fixture(scope="module")
def go_tool() -> Toolchain:
    return any_toolchain()


@pytest.fixture(scope="module")
def service(go_tool: Toolchain) -> Iterator[Running]:
    with running(scenario_program("growth", go_tool)) as program:
        yield program
        assert program.process.poll() is None


@pytest.fixture(scope="module")
def capture(service: Running, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("capture") / "growth.core"
    done = command("capture", str(service.pid), "-o", str(path))
    assert done.returncode == 0, done.stderr
    assert f"{path}: " in done.stderr
    assert f"process {service.pid} paused " in done.stderr
    return path


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


def command(*arguments: str, **environment: str) -> Done:
    """Run the command line in this process: importing the kernels again would take most of the time."""
    out, err = io.StringIO(), io.StringIO()
    with mock.patch.dict(os.environ, environment), redirect_stdout(out), redirect_stderr(err):
        code = main(list(arguments))
    return Done(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def document(capture: Path) -> dict[str, Any]:
    done = command(str(capture), "--format", "json")
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout)
    assert isinstance(loaded, dict)
    return loaded


def test_a_capture_is_a_core_for_its_owner_only(capture: Path) -> None:
    assert capture.read_bytes()[:4] == b"\x7fELF"
    assert stat.S_IMODE(capture.stat().st_mode) == 0o600


def test_the_json_of_a_real_process_keeps_to_schema_1(
    document: dict[str, Any], service: Running, go_tool: Toolchain
) -> None:
    assert violations(document, SCHEMA_1) == []
    assert document["process"]["pid"] == service.pid
    assert document["process"]["go_version"] == f"go{go_tool.version}"
    assert document["capture"]["method"] in ("fork", "stop")
    assert document["capture"]["pause_ms"] > 0


def test_holders_add_up_to_the_live_bytes_and_shares_to_one(document: dict[str, Any]) -> None:
    holders = document["holders"]

    assert sum(row["retained_bytes"] for row in holders) == document["heap"]["live_bytes"]
    assert sum(row["share"] for row in holders) == pytest.approx(1)


def test_the_screen_says_the_same_as_the_json(capture: Path, document: dict[str, Any]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "heldby.cli.main", str(capture)],
        check=False,
        capture_output=True,
        text=True,
        timeout=200,
        env=os.environ | {"COLUMNS": "120"},
    )

    lines = done.stdout.split("\n")
    assert done.returncode == 0
    assert document["rss"]["verdict"].split(";")[0] in lines[0]
    assert document["holders"][0]["path"] in "".join(lines[:4])
    assert f"pid {document['process']['pid']} · {document['process']['go_version']}" in done.stdout
    for heading in ("WHERE IT WENT", "WHO HOLDS IT"):
        assert any(line.startswith(heading) for line in lines)
    assert max(map(len, lines)) <= 120
    assert "Traceback" not in done.stderr


def test_a_pid_gives_the_holders_that_its_capture_gives(service: Running, document: dict[str, Any]) -> None:
    done = command(str(service.pid), "--format", "json", "--limit", "3", "--method", "stop")

    live = json.loads(done.stdout)
    paths = [row["path"] for row in live["holders"]]
    assert paths == [row["path"] for row in document["holders"][:3]]
    assert live["capture"]["method"] == "stop"


def test_quiet_says_nothing_and_verbose_each_step(capture: Path, tmp_path: Path) -> None:
    quiet = command("-q", str(capture), "-o", str(tmp_path / "screen.txt"))
    verbose = command("-v", str(capture), "--no-cache")

    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    assert (tmp_path / "screen.txt").read_text().split("\n")[0] == verbose.stdout.split("\n")[0]
    assert "  reading references\n" in verbose.stderr


def test_the_profile_agrees_with_the_json(capture: Path, document: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "held.pb.gz"
    done = command("export", str(capture), "--pprof", str(path))
    profile = read_profile(path)

    assert done.returncode == 0, done.stderr
    assert f"go tool pprof -http=: {path}" in done.stderr
    assert profile.default_sample_type == "inuse_space"
    columns = [sum(sample.values[i] for sample in profile.samples) for i in range(3)]
    heap = document["heap"]
    assert columns == [heap["live_bytes"], heap["live_bytes"], heap["live_objects"]]
    retained: dict[str, int] = {}
    for sample in profile.samples:
        leaf = sample.stack[0].name
        retained[leaf] = retained.get(leaf, 0) + sample.values[0]
    first = document["holders"][0]
    assert retained[first["path"]] == first["retained_bytes"]


def test_go_tool_pprof_opens_the_profile(
    capture: Path, document: dict[str, Any], tmp_path: Path, go_tool: Toolchain
) -> None:
    path = tmp_path / "held.pb.gz"
    command("export", str(capture), "--pprof", str(path))

    shown = subprocess.run(
        [str(go_tool.go), "tool", "pprof", "-top", "-cum", str(path)],
        check=True,
        capture_output=True,
        text=True,
        env=go_tool.environment() | {"HOME": os.environ.get("HOME", "/"), "PATH": os.environ["PATH"]},
    ).stdout

    assert any(line.endswith(f"  {document['holders'][0]['root']}") for line in shown.splitlines())


def test_the_doctor_finds_the_service_fit(service: Running) -> None:
    done = command("doctor", str(service.pid))

    assert done.returncode == 0
    assert done.stdout.split("\n")[0].startswith(f"Process {service.pid} can be captured")
    assert "is written in Go" in done.stdout.replace("\n", " ")


def test_the_doctor_says_why_another_program_cannot_be_captured() -> None:
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        try:
            done = command("doctor", str(sleeper.pid))
        finally:
            sleeper.kill()

    assert done.returncode == 3
    assert "is no Go program" in done.stdout.split("\n")[0]
    assert done.stderr == ""


def test_python_opens_what_the_command_opens(capture: Path, document: dict[str, Any]) -> None:
    heap = heldby.open(capture).heap

    assert heap.object_count == document["heap"]["objects"]


def test_a_capture_is_enough_on_another_machine(
    capture: Path, document: dict[str, Any], tmp_path: Path
) -> None:
    elsewhere = tmp_path / "renamed"
    shutil.copy(capture, elsewhere)

    done = command(str(elsewhere), "--format", "json")

    assert json.loads(done.stdout)["holders"] == document["holders"]


def test_the_wrong_executable_is_refused(capture: Path, go_tool: Toolchain) -> None:
    other = scenario_program("structs", go_tool)

    done = command(str(capture), "--exe", str(other))

    assert done.returncode == 4
    assert "  next: " in done.stderr
    assert done.stdout == ""


def test_a_core_cut_off_anywhere_gives_an_answer_with_a_note_or_an_error(
    capture: Path, tmp_path: Path
) -> None:
    data = capture.read_bytes()
    cut = tmp_path / "cut.core"
    codes = set()
    for size in (0, 10, 63, 64, 100, 4096, *(len(data) * part // 12 for part in range(1, 12)), len(data) - 1):
        cut.write_bytes(data[:size])
        done = command(str(cut))
        codes.add(done.returncode)
        if done.returncode == 0:
            assert "note: the core is cut off" in done.stdout, size
        else:
            assert done.returncode in (4, 5), (size, done.stderr)
            assert done.stderr.startswith("heldby: ")
            assert "  next: " in done.stderr, size
            assert done.stdout == ""

    assert 4 in codes


def test_the_process_of_another_user_is_told_apart(service: Running) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    program = (
        "import os, sys, heldby.capture, heldby.api, heldby.jit, heldby.render.progress_bar\n"
        "import heldby.render.plain_text\n"
        "from heldby.cli.main import main\n"
        "os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)\n"
        f"sys.exit(main(['{service.pid}']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 3
    assert f"{service.pid}" in done.stderr
    assert "  next: " in done.stderr
    assert "doctor" in done.stderr


@pytest.mark.parametrize("mode", [Mode.STRIPPED])
def test_a_stripped_service_has_an_answer_too(mode: Mode, go_tool: Toolchain) -> None:
    with running(scenario_program("growth", go_tool, mode)) as program:
        done = command(str(program.pid), "--format", "json")

    document = json.loads(done.stdout)
    assert document["process"]["stripped"] is True
    assert sum(row["retained_bytes"] for row in document["holders"]) == document["heap"]["live_bytes"]
