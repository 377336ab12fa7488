"""How kernels are compiled and where the machine code is kept.

Rules for kernels (measured; see docs/decisions/0003-numba-kernels.md):
* indexes are ``uint64`` (`u64`): signed indexes cost Numba a wrap-around branch on every access, up to 1.6x;
  never mix ``int64`` and ``uint64`` in arithmetic, the result is a float;
* arrays are allocated by the caller with NumPy (huge pages), never inside a kernel;
* plain loops only: slice assignment inside a kernel costs seconds of compilation;
* a kernel never checks bounds: what it indexes with was validated before, or is checked in the loop.

Kernels live in modules called ``*kernels.py`` and are the only functions that loop over objects,
references or frames.

Machine code is cached in a folder named after a digest of the kernel's module and of all modules of ours that
it imports, below one for the versions of Python, Numba and llvmlite, the CPU, and whether bounds are checked.
Numba's own key knows only the file of the kernel itself: it would run old code after a helper in another
module changed, and unchecked code under ``NUMBA_BOUNDSCHECK=1``. Folders that others could write to are not
used, because cached code is executed (and heldby is often run with sudo, where HOME may be someone else's).
Without any folder, each process compiles anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
import re
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import llvmlite
import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba import njit, types, uint64
from numba.core import config, event
from numba.extending import intrinsic

from heldby.kernel_compiler import HelperCompiler, KernelCompiler

_F = TypeVar("_F", bound=Callable[..., Any])

u64 = uint64
ZERO = np.uint64(0)
ONE = np.uint64(1)
TWO = np.uint64(2)

_PACKAGE = Path(__file__).parent
# Kernels never allocate, so they need no reference counts (a fifth of the compile time, and up to a third of
# the run time of kernels that take many arrays), nobody calls them from C, and Numba's rewriting of array
# expressions and `print` finds nothing in plain loops.
_OPTIONS = {
    "nogil": True,
    "error_model": "numpy",
    "_nrt": False,
    "no_cfunc_wrapper": True,
    "no_rewrites": True,
}
_IMPORT = re.compile(r"^from (?P<module>heldby[\w.]*) import (?P<names>\([^)]*\)|[^\n#]*)", re.MULTILINE)
_TOUCHED_EVERY_S = 86_400
_STALE_AFTER_S = 30 * 86_400
_WAIT_S = 0.02
_LONGEST_WAIT = 1000  # times `_WAIT_S`; the slowest kernel takes 4 s


def kernel(function: _F) -> _F:
    """Compile `function` on its first call, to run without the GIL; cached on disk if there is a folder."""
    base = cache_folder()
    if base is None:
        return njit(pipeline_class=KernelCompiler, **_OPTIONS)(function)  # type: ignore[no-any-return]
    folder = base / _module_folder(Path(function.__code__.co_filename))
    _mark_used(folder)
    # The folder is read from Numba's configuration once, here; it must not change for other users of Numba.
    before, config.CACHE_DIR = config.CACHE_DIR, str(folder)
    try:
        dispatcher = njit(cache=True, pipeline_class=KernelCompiler, **_OPTIONS)(function)
    except RuntimeError:  # "cannot cache function: no locator available": the disk became full or read-only
        return njit(pipeline_class=KernelCompiler, **_OPTIONS)(function)  # type: ignore[no-any-return]
    finally:
        config.CACHE_DIR = before
    _survive_bad_cache(dispatcher, folder / f"{function.__name__}.lock")
    return dispatcher  # type: ignore[no-any-return]


def inline_kernel(function: _F) -> _F:
    """Compile a helper that LLVM inlines into every kernel that calls it; it has no cache of its own."""
    options = {"forceinline": True, "no_cpython_wrapper": True, "pipeline_class": HelperCompiler, **_OPTIONS}
    return njit(**options)(function)  # type: ignore[no-any-return]


class _Turn:
    """The right to compile one kernel: a lock on a file, which ends with the process that has it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    def take(self) -> bool:
        """Take it; return whether another process had it, which may have left what it compiled."""
        self.give()
        with suppress(OSError):  # a full disk, a file system without locks: both compile
            self._fd = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            for attempt in range(_LONGEST_WAIT):
                try:
                    fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    time.sleep(_WAIT_S)
                else:
                    return attempt > 0
        return False

    def give(self) -> None:
        """Let others have it."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def inner_kernel(function: _F) -> _F:
    """Compile a helper that only kernels call, once for all of them; it has no cache and no door to Python.

    Unpacking arguments that hold many arrays costs more to compile than a small helper itself.
    """
    return njit(no_cpython_wrapper=True, pipeline_class=HelperCompiler, **_OPTIONS)(function)  # type: ignore[no-any-return]


def _survive_bad_cache(dispatcher: Any, lock: Path) -> None:
    """Make a damaged cache file a miss, and a full disk no reason to stop.

    What another process is compiling is waited for.
    """
    kept = getattr(dispatcher, "_cache", None)
    if kept is None:  # NUMBA_DISABLE_JIT=1
        return
    turn = _Turn(lock)
    # Not `load_overload`, which first loads all that compiling may need: 35 MiB and 0.2 s for nothing.
    load, save = kept._load_overload, kept.save_overload  # noqa: SLF001

    def load_overload(signature: Any, context: Any) -> Any:
        found = attempt(signature, context)
        return attempt(signature, context) if found is None and turn.take() else found

    def attempt(signature: Any, context: Any) -> Any:
        try:
            return load(signature, context)
        except Exception:  # a truncated pickle can raise anything
            return None

    def save_overload(signature: Any, result: Any) -> None:
        try:
            save(signature, result)
        except Exception:  # as above: saving reads the index first
            kept.disable()
        finally:
            turn.give()

    kept.load_overload, kept.save_overload = load_overload, save_overload


@cache
def cache_folder() -> Path | None:
    """Return the folder for machine code, made if need be, or None if there is no safe one.

    ``$NUMBA_CACHE_DIR``, ``$XDG_CACHE_HOME/heldby``, ``~/.cache/heldby``, ``/tmp/heldby-<uid>``: the first
    that only this user and root can write to. What was not used for 30 days is removed now and then.
    """
    for base in _candidates():
        folder = base / f"kernels-{_environment()}"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if _is_safe(folder):
                _mark_used(folder)
                _remove_stale([*base.glob("kernels-*"), *folder.iterdir()])
                return folder
        except OSError:
            continue
    return None


@contextmanager
def watch_compilation(started: Callable[[str], None]) -> Iterator[None]:
    """Call `started` with the name of each kernel that is compiled because the cache does not have it."""

    class _Listener(event.Listener):  # type: ignore[misc]
        def on_start(self, happened: Any) -> None:
            started(happened.data["dispatcher"].py_func.__name__)

        def on_end(self, happened: Any) -> None:
            pass

    with event.install_listener("numba:compile", _Listener()):
        yield


def _environment() -> str:
    cpu = (llvmlite.binding.get_host_cpu_name(), llvmlite.binding.get_host_cpu_features().flatten())
    made_with = (sys.version, numba.__version__, llvmlite.__version__, cpu, config.BOUNDSCHECK, config.OPT)
    return hashlib.sha256(repr(made_with).encode()).hexdigest()[:16]


@cache
def _module_folder(module: Path) -> str:
    """Return the name of the folder for the kernels of `module`: it differs when any source differs."""
    digest = hashlib.sha256()
    seen: set[Path] = set()
    waiting = [module]
    while waiting:
        path = waiting.pop()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        source = path.read_text("utf-8")
        digest.update(source.encode() + b"\0")
        for found in _IMPORT.finditer(source):
            folder = _PACKAGE.joinpath(*found["module"].split(".")[1:])
            names = [name.split()[0] for name in found["names"].strip("()").split(",") if name.strip()]
            waiting += [folder.with_suffix(".py"), *(folder / f"{name}.py" for name in names)]
    return f"{module.stem}-{digest.hexdigest()[:16]}"


def _candidates() -> Iterator[Path]:
    for variable in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "HOME"):
        value = os.environ.get(variable, "")
        if Path(value).is_absolute():
            yield Path(
                value, *{"NUMBA_CACHE_DIR": (), "HOME": (".cache", "heldby")}.get(variable, ("heldby",))
            )
    try:
        home = Path(pwd.getpwuid(os.geteuid()).pw_dir)
    except KeyError:  # a container's arbitrary uid
        pass
    else:
        yield home / ".cache" / "heldby"
    yield Path(tempfile.gettempdir()) / f"heldby-{os.geteuid()}"


def _is_safe(folder: Path) -> bool:
    """Return whether `folder` is this user's and nobody but root could put another one in its place.

    A group's right to write is accepted: with private groups, umask 002 is usual.
    """
    whole = folder.resolve()
    for path in (whole, *whole.parents):
        facts = path.stat()
        if facts.st_uid not in (0, os.geteuid()):
            return False
        if facts.st_mode & stat.S_IWOTH and not facts.st_mode & stat.S_ISVTX:
            return False
    return whole.stat().st_uid == os.geteuid() and os.access(whole, os.W_OK | os.X_OK)


def _mark_used(folder: Path) -> None:
    with suppress(OSError):
        if time.time() - folder.stat().st_mtime > _TOUCHED_EVERY_S:
            os.utime(folder)


def _remove_stale(folders: list[Path]) -> None:
    for folder in folders:
        with suppress(OSError):  # another process removed it
            if time.time() - folder.stat().st_mtime > _STALE_AFTER_S:
                shutil.rmtree(folder, ignore_errors=True)


@intrinsic  # type: ignore[untyped-decorator]
def prefetch(_typing_context: Any, array: Any, index: Any) -> Any:
    """Ask the CPU to load ``array[index]``; hides most of the latency of random access (1.3 to 1.6x)."""
    signature = types.void(array, types.uint64)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        pointer_type = ir.IntType(8).as_pointer()
        pointer = builder.bitcast(builder.gep(data, [args[1]]), pointer_type)
        i32 = ir.IntType(32)
        function = builder.module.declare_intrinsic(
            "llvm.prefetch", [pointer_type], ir.FunctionType(ir.VoidType(), [pointer_type, i32, i32, i32])
        )
        builder.call(function, [pointer, ir.Constant(i32, 0), ir.Constant(i32, 3), ir.Constant(i32, 1)])
        return context.get_dummy_value()

    return signature, generate


@intrinsic  # type: ignore[untyped-decorator]
def popcount(_typing_context: Any, word: Any) -> Any:
    """Return the number of set bits of a ``uint64``."""
    signature = types.uint64(types.uint64)

    def generate(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return signature, generate


@intrinsic  # type: ignore[untyped-decorator]
def trailing_zeros(_typing_context: Any, word: Any) -> Any:
    """Return the index of the lowest set bit of a ``uint64``; 64 for 0."""
    signature = types.uint64(types.uint64)

    def generate(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return signature, generate


@intrinsic  # type: ignore[untyped-decorator]
def high_product(_typing_context: Any, left: Any, right: Any) -> Any:
    """Return the upper 64 bits of the 128-bit product of two ``uint64``."""
    signature = types.uint64(types.uint64, types.uint64)

    def generate(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        wide = ir.IntType(128)
        product = builder.mul(builder.zext(args[0], wide), builder.zext(args[1], wide))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))

    return signature, generate
