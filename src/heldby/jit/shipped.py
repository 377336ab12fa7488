"""Machine code that came with the package: compiled when its wheel was built, for any CPU of the last ten years.

The first run ever would compile all kernels, 35 s of CPU. Object files depend on no version of Python or Numba, so
the wheel brings those of the usual commands (`heldby.shipping` makes them). They lie in a folder named after
the machine and how this package compiles, and within it as in the cache: a kernel whose source was changed since is
not found and compiled as ever, and so are all where the CPU lacks what they were compiled for.
"""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from heldby.digests import hex_digest
from heldby.jit.kernel_files import CompiledKernel, compiler_sources, read_kernel
from heldby.jit.processor import first_processor

FOLDER: Final = Path(__file__).parents[1] / "compiled_kernels"


class Level(NamedTuple):
    """The least CPU that machine code is shipped for.

    Attributes:
        name: what LLVM calls it.
        flags: what ``/proc/cpuinfo`` says of a CPU that runs it.
    """

    name: str
    flags: frozenset[str]


# x86-64-v3 (System V ABI, AMD64 supplement, section 3.1.1): Intel since 2013, AMD since 2017. On 10 million objects it
# is as fast as code for the machine's own CPU; x86-64-v2 is a tenth slower.
_LEVELS: Final = {
    "x86_64": Level(
        "x86-64-v3", frozenset(["abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"])
    ),
    "aarch64": Level("generic", frozenset()),
}


def level() -> Level | None:
    """Return what this machine's kernels are shipped for; None where none are."""
    return _LEVELS.get(platform.machine())


def shipped(file: Path) -> CompiledKernel | None:
    """Return the kernel of that place (`kernel_files.place_of`) as it came with the package; None if it did not."""
    folder = _folder()
    return None if folder is None else read_kernel(folder / file)


def folder_name() -> str:
    """Return the name of the folder in `FOLDER` for this machine and this way of compiling."""
    least = level()
    made_with = f"{least.name if least else None}\0{compiler_sources()}"
    return f"{platform.machine()}-{hex_digest(made_with.encode(), 16)}"


@cache
def _folder() -> Path | None:
    """Return the folder with what this process may run; None where there is none."""
    # Whoever says how Numba shall compile wants code that is compiled so.
    if any(name.startswith("NUMBA_") and name != "NUMBA_CACHE_DIR" for name in os.environ):
        return None
    folder = FOLDER / folder_name()
    return folder if folder.is_dir() and runs_here() else None


def runs_here() -> bool:
    """Tell whether this machine's CPU runs what is shipped for its architecture."""
    least = level()
    if least is None:
        return False
    if not least.flags:
        return True
    flags = next((line for line in first_processor() if line.startswith("flags")), "")
    return least.flags <= set(flags.split())
