"""Kernels that came with the package are run as they are, where source and CPU are those they were made for."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path
from unittest import mock

import pytest

from heldby import shipping
from heldby.jit import shipped
from heldby.warming import listed_kernels
from tests.jit.small_package import HELPER, RUN, run

pytestmark = pytest.mark.skipif(not shipped.runs_here(), reason="no kernels are shipped for this CPU")

ROOT = Path(__file__).parents[2]
#: What the CPU has not.
OTHER_CPU = """
from heldby.jit import shipped
least = shipped.level()
shipped._LEVELS[__import__("platform").machine()] = least._replace(flags=frozenset({"unheard_of"}))
"""


@pytest.fixture
def shipping_package(package: Path, tmp_path: Path) -> Path:
    """The small package with its kernel compiled and shipped."""
    run(package, HOME=str(tmp_path / "builder"))
    (compiled,) = (tmp_path / "builder").rglob("call_kernels-*")
    shutil.copytree(compiled, package / "compiled_kernels" / shipped.folder_name() / compiled.name)
    return package


def test_a_shipped_kernel_is_not_compiled_and_nothing_is_kept(shipping_package: Path, tmp_path: Path) -> None:
    home = tmp_path / "user"

    assert run(shipping_package, HOME=str(home)) == "2 [] True"
    assert list(home.rglob("*.kernel")) == []


def test_the_user_s_own_folder_for_the_cache_changes_nothing(shipping_package: Path, tmp_path: Path) -> None:
    assert run(shipping_package, NUMBA_CACHE_DIR=str(tmp_path / "chosen")) == "2 [] True"


def test_a_kernel_whose_source_changed_is_compiled(shipping_package: Path, tmp_path: Path) -> None:
    (shipping_package / "help_kernels.py").write_text(HELPER.format(step=10))

    assert run(shipping_package, HOME=str(tmp_path)) == "11 ['run'] True"


def test_kernels_are_compiled_after_the_way_of_compiling_changed(
    shipping_package: Path, tmp_path: Path
) -> None:
    with (shipping_package / "jit" / "compiling.py").open("a") as file:
        file.write("# another way\n")

    assert run(shipping_package, HOME=str(tmp_path)) == "2 ['run'] True"


def test_kernels_are_compiled_where_the_cpu_lacks_what_they_need(
    shipping_package: Path, tmp_path: Path
) -> None:
    assert run(shipping_package, OTHER_CPU + RUN, HOME=str(tmp_path)) == "2 ['run'] True"


def test_whoever_tells_numba_how_to_compile_gets_code_compiled_so(
    shipping_package: Path, tmp_path: Path
) -> None:
    assert run(shipping_package, HOME=str(tmp_path), NUMBA_OPT="1") == "2 ['run'] True"


def test_a_damaged_file_is_compiled_anew(shipping_package: Path, tmp_path: Path) -> None:
    (file,) = shipping_package.rglob("compiled_kernels/*/*/*.kernel")
    file.write_bytes(file.read_bytes()[:-1])

    assert run(shipping_package, HOME=str(tmp_path)) == "2 ['run'] True"


def test_shipping_compiles_what_is_missing_and_removes_what_is_old(tmp_path: Path) -> None:
    two = [entry for entry in listed_kernels() if entry["kernel"] in ("rank_words", "add_degrees")]
    old = [
        tmp_path / "x86_64-0123456789abcdef",
        tmp_path / shipped.folder_name() / "gone_kernels-0123456789abcdef",
    ]
    for folder in old:
        folder.mkdir(parents=True)
    with (
        mock.patch.object(shipping, "listed_kernels", return_value=two),
        mock.patch.dict("os.environ"),  # whose settings are for the processes that compile
    ):
        first, second = shipping.ship(tmp_path), shipping.ship(tmp_path)
    files = sorted(path.name.partition("-")[0] for path in tmp_path.rglob("*.kernel"))

    assert (first, second) == ((2, 2), (0, 2))
    assert files == ["add_degrees", "rank_words"]
    assert [folder.exists() for folder in old] == [False, False]


def test_without_semaphores_kernels_are_compiled_one_after_the_other(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from unittest import mock
from heldby import shipping
if __name__ == "__main__":
    one = [entry for entry in shipping.listed_kernels() if entry["kernel"] == "rank_words"]
    with mock.patch.object(shipping, "listed_kernels", return_value=one):
        with mock.patch.object(shipping, "ProcessPoolExecutor", side_effect=OSError(38, "no semaphores")):
            print(shipping.ship(Path(sys.argv[1])))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True, timeout=100
    )

    assert done.stdout == "(1, 1)\n"
    assert len(list(tmp_path.rglob("rank_words-*.kernel"))) == 1


def test_this_checkout_has_its_kernels_compiled() -> None:
    """`make setup` compiles them in place: no test waits for those, and they are what the wheel brings."""
    home = resources.files("heldby").joinpath("compiled_kernels", shipped.folder_name())

    assert len([file for folder in Path(str(home)).iterdir() for file in folder.iterdir()]) == len(
        listed_kernels()
    )


@pytest.mark.slow
def test_a_wheel_brings_kernels_that_run_without_numba(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "CHANGELOG.md"):
        source.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, source)
    shutil.copytree(
        ROOT / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__", "compiled_kernels")
    )
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path, source]
    subprocess.run(build, check=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    shutil.unpack_archive(wheel, tmp_path / "installed", "zip")
    code = """
import sys, numpy
from heldby import jit
from heldby.graph.csr import offsets_of
with jit.watch_compilation(lambda kernel, kinds: print(kernel.__name__)):
    print(offsets_of(numpy.array([3, 4], numpy.uint32)).tolist(), "numba" in sys.modules)
"""

    assert wheel.name.startswith("heldby-0.1.0-py3-none-manylinux_2_17_")
    assert run(tmp_path / "installed" / "heldby", code, HOME=str(tmp_path)) == "[0, 3, 7] False"
