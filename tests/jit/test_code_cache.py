"""Where machine code is kept: fresh after changes, in safe folders only, and never a reason to fail."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from heldby.jit import code_cache
from heldby.jit.kernel_files import CompiledKernel, place_of
from tests.jit.small_package import HELPER, RUN, run

NO_ACCOUNT = """
import pwd
def getpwuid(uid):
    raise KeyError(uid)
pwd.getpwuid = getpwuid
"""


def test_the_second_process_finds_what_the_first_compiled(package: Path, tmp_path: Path) -> None:
    assert run(package, HOME=str(tmp_path)) == "2 ['run'] True"
    assert run(package, HOME=str(tmp_path)) == "2 [] True"
    assert list((tmp_path / ".cache/heldby").glob("kernels-*/call_kernels-*"))


def test_what_was_compiled_is_loaded_without_numba_and_llvm(package: Path, tmp_path: Path) -> None:
    loaded = RUN + "import sys; print({'numba', 'llvmlite'} & set(sys.modules))"

    assert run(package, loaded, HOME=str(tmp_path)).startswith("2 ['run'] True\n{")
    assert run(package, loaded, HOME=str(tmp_path)) == "2 [] True\nset()"


def test_a_kernel_is_compiled_anew_after_a_helper_in_another_module_changed(
    package: Path, tmp_path: Path
) -> None:
    run(package, HOME=str(tmp_path))
    (package / "help_kernels.py").write_text(HELPER.format(step=10))

    assert run(package, HOME=str(tmp_path)) == "11 ['run'] True"


def test_a_kernel_is_compiled_anew_after_the_way_of_compiling_changed(package: Path, tmp_path: Path) -> None:
    run(package, HOME=str(tmp_path))
    with (package / "jit" / "compiling.py").open("a") as file:
        file.write("# another way\n")

    assert run(package, HOME=str(tmp_path)) == "2 ['run'] True"


@pytest.mark.parametrize("setting", [{"NUMBA_OPT": "1"}, {"NUMBA_CPU_NAME": "generic"}])
def test_settings_of_numba_have_a_cache_of_their_own(
    package: Path, tmp_path: Path, setting: dict[str, str]
) -> None:
    run(package, HOME=str(tmp_path))

    assert run(package, HOME=str(tmp_path), **setting) == "2 ['run'] True"


def test_checked_kernels_are_never_taken_from_the_cache(package: Path, tmp_path: Path) -> None:
    run(package, HOME=str(tmp_path))
    code = "from heldby.call_kernels import run; run(1); print(type(run).__name__)"

    assert run(package, code, HOME=str(tmp_path)) == "Kernel"
    assert run(package, code, HOME=str(tmp_path), NUMBA_BOUNDSCHECK="1") == "CPUDispatcher"


@pytest.mark.parametrize("variable", ["NUMBA_CACHE_DIR", "XDG_CACHE_HOME"])
def test_the_user_can_say_where(package: Path, tmp_path: Path, variable: str) -> None:
    chosen = tmp_path / "chosen"
    run(package, HOME=str(tmp_path), **{variable: str(chosen)})

    assert len(list(chosen.rglob("*.kernel"))) == 1
    assert not (tmp_path / ".cache").exists()


def test_the_folder_is_private(package: Path, tmp_path: Path) -> None:
    run(package, HOME=str(tmp_path))

    (folder,) = (tmp_path / ".cache/heldby").iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700


def test_without_any_folder_kernels_are_compiled_in_memory(package: Path, tmp_path: Path) -> None:
    # Numba by itself refuses to import here: "cannot cache function: no locator available".
    blocked = tmp_path / "file"
    blocked.touch()
    code = f"{NO_ACCOUNT}\nimport tempfile\ntempfile.tempdir = '/proc'\n{RUN}"

    assert run(package, code, HOME=f"{blocked}/home") == "2 ['run'] False"


def test_a_full_disk_is_no_reason_to_stop(package: Path, tmp_path: Path) -> None:
    limit = "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"

    found = run(package, limit + RUN, HOME=str(tmp_path), PYTHONDONTWRITEBYTECODE="1")

    assert found == "2 ['run'] True"
    assert not list(tmp_path.rglob("*.kernel"))


def test_a_folder_that_others_can_write_is_not_used(package: Path, tmp_path: Path) -> None:
    open_folder = tmp_path / "open"
    open_folder.mkdir()
    open_folder.chmod(0o777)

    run(package, HOME=str(tmp_path), NUMBA_CACHE_DIR=str(open_folder))

    assert not list(open_folder.rglob("*.kernel"))
    assert list((tmp_path / ".cache").rglob("*.kernel"))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a folder away")
def test_root_does_not_use_the_cache_of_another_user(package: Path, tmp_path: Path) -> None:
    home, own = tmp_path / "home", tmp_path / "own"
    home.mkdir()
    os.chown(home, 65534, 65534)

    own.mkdir()

    run(package, NO_ACCOUNT + RUN, HOME=str(home), TMPDIR=str(own))

    assert not list(home.rglob("*.kernel"))
    assert len(list((own / "heldby-0").rglob("*.kernel"))) == 1


def test_a_damaged_file_is_compiled_anew(package: Path, tmp_path: Path) -> None:
    run(package, HOME=str(tmp_path))
    (file,) = tmp_path.rglob("*.kernel")
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])

    assert run(package, HOME=str(tmp_path)) == "2 ['run'] True"
    assert file.read_bytes()[:16] == whole[:16]


def test_whatever_was_done_to_a_file_it_is_whole_or_a_miss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_cache, "cache_folder", lambda: tmp_path)
    made = CompiledKernel(b"\x7fELF and more\n\0", "entry", ["int64", "bool"])
    kernel = place_of(Path(code_cache.__file__), "run", ["uint64"])
    with code_cache.kept(kernel) as place:
        place.write(made)
    (file,) = tmp_path.rglob("*.kernel")
    whole = file.read_bytes()

    def read() -> CompiledKernel | None:
        with code_cache.kept(kernel) as place:
            return place.read()

    assert read() == made
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        assert read() is None, length
    for at in range(len(whole)):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert read() is None, at
    file.write_bytes(whole)
    assert read() == made


def test_of_two_processes_at_once_one_compiles_and_the_other_waits(package: Path, tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(package.parent), "HOME": str(tmp_path)}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", RUN],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = []
    for process in both:
        out, err = process.communicate(timeout=100)
        assert (process.returncode, err) == (0, "")
        said.append(out.strip())
    assert sorted(said) == ["2 ['run'] True", "2 [] True"]
    assert run(package, HOME=str(tmp_path)) == "2 [] True"


def test_what_was_not_used_for_a_month_is_removed(package: Path, tmp_path: Path) -> None:
    base = tmp_path / ".cache/heldby"
    old, recent, other = base / "kernels-0123", base / "kernels-4567", base / "go"
    for folder in (old, recent, other):
        folder.mkdir(parents=True)
    base.chmod(0o700)
    month = time.time() - 31 * 86_400
    os.utime(old, (month, month))
    os.utime(other, (month, month))

    run(package, HOME=str(tmp_path))

    assert (old.exists(), recent.exists(), other.exists()) == (False, True, True)
