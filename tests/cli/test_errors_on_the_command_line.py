"""Whatever goes wrong: message, cause and next step on stderr, the exit code of its class, no traceback."""

from __future__ import annotations

import gzip
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import heldby.api
from heldby.cli import main as entry
from heldby.errors import HeldbyError, WrongExecutable

HELDBY = [sys.executable, "-m", "heldby.cli.main"]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*HELDBY, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | environment,
    )


def test_a_target_that_does_not_exist(tmp_path: Path) -> None:
    done = run(str(tmp_path / "absent"))

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        f"heldby: there is no file {tmp_path}/absent\n"
        "  next: give a PID, a URL, or the path of a core, capture or profile\n"
    )


def test_a_full_disk_behind_stdout_is_no_mistake_of_ours() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*HELDBY, "--help"], check=False, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )

    assert done.returncode == 7
    assert done.stderr == (
        "heldby: the answer cannot be written: no space left\n  next: choose another place for the output\n"
    )


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (b"", 4, "is empty"),
        (b"hello, world, this is no core at all", 4, "is no ELF core"),
        (b"\x7fELF\x02\x01", 4, "ends inside the ELF header"),
        (b"\x7fELF\x01\x01" + bytes(58), 4, "is a 32-bit or big-endian ELF file"),
        (b"\x7fELF\x02\x01" + bytes(10) + b"\x02\x00" + bytes(46), 4, "is an ELF program, not a core"),
        (b"\x7fELF\x02\x01" + bytes(10) + b"\x04\x00" + b"\x08\x00" + bytes(44), 4, "ELF machine number 8"),
        (b"\x28\xb5\x2f\xfd" + bytes(60), 4, "is compressed with zstd"),
        (gzip.compress(b"profile", mtime=0), 4, "is compressed with gzip"),
        (b"go1.7 heap dump\n" + bytes(60), 4, "debug.WriteHeapDump"),
    ],
)
def test_a_file_that_is_no_core(tmp_path: Path, content: bytes, code: int, message: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)

    with pytest.raises(HeldbyError, match=message) as caught:
        heldby.api.open(path)

    assert caught.value.exit_code == code
    assert caught.value.next_step


def test_a_folder_and_a_pipe_are_refused_without_reading_them(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(HeldbyError, match="is a folder"):
        heldby.api.open(tmp_path)
    with pytest.raises(HeldbyError, match="is no regular file"):
        heldby.api.open(tmp_path / "pipe")


@pytest.mark.parametrize("target", ["0", "4194305", "99999999999999999999999", -1])
def test_a_number_that_can_be_no_pid(target: str | int) -> None:
    with pytest.raises(HeldbyError, match="is no PID") as caught:
        heldby.api.open(target)

    assert caught.value.exit_code == 2


def test_a_process_that_is_gone() -> None:
    child = subprocess.Popen(["true"])
    child.wait()

    done = run(str(child.pid))

    assert done.returncode == 3
    assert re.match(rf"heldby: .*\b{child.pid}\b", done.stderr)
    assert "  next: " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_process_that_is_no_go_program() -> None:
    child = subprocess.Popen(["sleep", "60"])
    try:
        done = run(str(child.pid))

        assert done.returncode == 3
        assert "Go" in done.stderr.split("\n")[0]
        assert "Traceback" not in done.stderr
        assert child.poll() is None
    finally:
        child.kill()
        child.wait()


def test_an_existing_output_is_refused_before_the_work(tmp_path: Path) -> None:
    kept = tmp_path / "out"
    kept.write_text("precious")

    for command in (["1", "-o"], ["capture", "1", "-o"], ["export", "1", "--pprof"]):
        done = run(*command, str(kept))
        assert done.returncode == 2
        assert done.stderr.startswith(f"heldby: {kept} exists\n")
    assert kept.read_text() == "precious"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "xml", "1"], "Invalid value for '--format'"),
        (["--limit", "0", "1"], "Invalid value for '--limit'"),
        (["1", "--nonsense"], "No such option"),
        (["capture", "x", "-o", "y"], "Invalid value for 'PID'"),
        (["capture", "1"], "Missing option '-o'"),
        (["1", "2"], "unexpected extra argument"),
        (["doctor", "0"], "'0' is no PID"),
        (["expalin", "4242"], "no command and no file expalin\n  next: did you mean heldby explain?"),
        (["gorutines"], "no command and no file gorutines\n  next: did you mean heldby goroutines?"),
        (["holders", "4242"], "no command and no file holders\n  next: heldby --help lists the commands"),
    ],
)
def test_a_command_line_that_makes_no_sense(arguments: list[str], message: str) -> None:
    done = run(*arguments)

    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_an_error_of_the_library_is_told_in_three_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = WrongExecutable("not \x1b[31m it", cause="another build", next_step="find the build c0ffee")
    monkeypatch.setattr(heldby.api, "open_kept", lambda *_a, **_k: (_ for _ in ()).throw(error))

    code = entry.main(["1"])

    assert code == 4
    assert capsys.readouterr().err == (
        "heldby: not \\x1b[31m it\n   why: another build\n  next: find the build c0ffee\n"
    )


def test_a_mistake_of_ours_goes_into_a_log_and_not_onto_the_screen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def broken(*_arguments: object, **_options: object) -> None:
        raise ZeroDivisionError("by nought")

    monkeypatch.setattr(heldby.api, "open_kept", broken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    code = entry.main(["1"])

    err = capsys.readouterr().err
    (log,) = tmp_path.glob("heldby-*.log")
    assert code == 70
    assert "Traceback" not in err
    assert "ZeroDivisionError: by nought" in err
    assert str(log) in err
    assert "Traceback (most recent call last)" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [(KeyboardInterrupt(), 130, "heldby: interrupted\n"), (MemoryError(), 6, "too little memory")],
)
def test_interruption_and_lack_of_memory_end_cleanly(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    raised: BaseException,
    code: int,
    said: str,
) -> None:
    monkeypatch.setattr(heldby.api, "open_kept", lambda *_a, **_k: (_ for _ in ()).throw(raised))

    assert entry.main(["1"]) == code
    assert said in capsys.readouterr().err


def heeding_interrupts() -> None:
    """Undo what a shell does to what it starts in the background: such a run of the tests ignores Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_work_without_a_traceback(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    program = (
        "import sys, time, heldby.api\n"
        "from heldby.cli.main import main\n"
        "def slow(*a, **k):\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(60)\n"
        "heldby.api.open_kept = slow\n"
        "sys.exit(main(['1']))\n"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heeding_interrupts,  # noqa: PLW1509 (it makes one system call)
    ) as child:
        assert child.stdout is not None
        try:
            assert child.stdout.readline() == "ready\n"
            time.sleep(0.05)
            child.send_signal(number)
            _out, err = child.communicate(timeout=30)
        finally:
            child.kill()

    assert child.returncode == code
    assert err in ("heldby: interrupted\n", "heldby: terminated\n")


def test_closed_streams_are_no_mistake_of_ours() -> None:
    line = " ".join(HELDBY)
    no_stdout = subprocess.run(
        ["sh", "-c", f"{line} --help >&-"], check=False, capture_output=True, text=True
    )
    neither = subprocess.run(["sh", "-c", f"{line} --help >&- 2>&-"], check=False)
    no_stderr = subprocess.run(
        ["sh", "-c", f"{line} /no/such/file 2>&-"], check=False, capture_output=True, text=True
    )

    assert no_stdout.returncode == neither.returncode == 7
    assert no_stdout.stderr == (
        "heldby: the answer cannot be written: stdout is closed\n"
        "  next: name a file with -o FILE, or do not close it\n"
    )
    assert (no_stderr.returncode, no_stderr.stdout) == (2, "")


def test_a_closed_stdout_is_told_before_the_work() -> None:
    for command in ("/no/such/file", "top /no/such/file", "rss /no/such/file", "object /no/such/file 0x1"):
        line = f"{' '.join(HELDBY)} {command} >&-"
        done = subprocess.run(["sh", "-c", line], check=False, capture_output=True, text=True)

        assert (done.returncode, done.stderr.splitlines()[0]) == (
            7,
            "heldby: the answer cannot be written: stdout is closed",
        )


def test_a_file_is_refused_the_name_that_means_stdout() -> None:
    for command in (
        ["capture", "1", "-o", "-"],
        ["export", "1", "--pprof", "-"],
        ["export", "1", "--parquet", "-"],
    ):
        done = run(*command)

        assert done.returncode == 2
        assert "this is not written to stdout; give a name, or ./- for one that is called so" in done.stderr


def test_a_reader_that_goes_away_is_no_error() -> None:
    with subprocess.Popen([*HELDBY, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        err = child.stderr.read()

    assert err == b""
    assert child.returncode == 141
