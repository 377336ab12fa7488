"""`open_capture`: the heap of a capture, from what is kept of it or by analysing it, and keeping that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from heldby.heap import Heap, load_heap
from heldby.heap.process import Process, assemble_process
from heldby.memory.core_file import CoreFile
from heldby.progress import QUIET, Progress
from heldby.store.folder import FORMAT, check_files, make_user_folder, places, read_manifest, write_analysis
from heldby.store.identity import analysis_version, digest_of, identity_of
from heldby.store.reader import Reader
from heldby.store.restoring import restored_heap

Tell = Callable[[str], None]


@dataclass(slots=True)
class Opened:
    """A heap, and whether the next one who asks must wait for it too.

    Attributes:
        heap: of the capture.
        wanted: whether its analysis should be kept: it is fresh, or what was kept turned out to be damaged.
    """

    heap: Heap
    wanted: bool = False
    _key: dict[str, Any] = field(default_factory=dict)
    _tell: Tell = print

    def keep(self, progress: Progress = QUIET) -> Path | None:
        """Keep the analysis if it is not kept yet; what was not asked for so far is computed first.

        Returns the folder, None when there was nothing to do or no place for it (then with a word): the
        answer was given, so that is no error. About a second for 5 million objects.
        """
        if not self.wanted:
            return None
        self.wanted = False
        capture = self.heap.process.core.path
        problem: OSError | None = None
        for number, place in enumerate(places(capture)):
            try:
                if identity_of(capture) != self._key["capture"]:
                    self._tell(f"{capture} changed meanwhile: its analysis is not kept")
                    return None
                if number:
                    make_user_folder()
                write_analysis(place, self.heap, self._key, progress)
            except OSError as error:
                problem = problem or error
            else:
                if number:
                    self._tell(f"the analysis is kept in {place}: {_reason(problem)}")
                return place
        self._tell(f"the analysis is not kept: {_reason(problem)}")
        return None


def open_capture(
    core: CoreFile,
    *,
    exe: Path | None = None,
    symbols: Path | None = None,
    progress: Progress = QUIET,
    tell: Tell,
    cache: bool = True,
) -> Opened:
    """Return the heap of the capture or core `core`, which is a file.

    Args:
        core: as opened.
        exe: the executable, where the core does not carry it.
        symbols: an unstripped build of the same source, for names that the executable lacks.
        progress: told of each phase of an analysis.
        tell: told in a sentence what is wrong with what was kept.
        cache: False to analyse whatever is kept, and to keep nothing.

    Raises:
        HeldbyError: as for `load_heap`. What is kept raises nothing: it is used, or it is not.
    """
    if not cache:
        return Opened(load_heap(core, exe=exe, symbols=symbols, progress=progress))
    with progress.phase("finding the Go runtime"):
        process = assemble_process(core, exe=exe, symbols=symbols)
    key = _key_of(process)
    kept = _find(core.path, key, tell)
    if kept is None:
        return Opened(
            load_heap(core, exe=exe, symbols=symbols, progress=progress), wanted=True, _key=key, _tell=tell
        )
    folder, manifest = kept
    opened: Opened

    def damaged(reason: str) -> None:
        tell(f"the kept analysis {folder} is damaged ({reason}): reading {core.path} again")
        opened.wanted = True

    def analyse() -> Heap:
        return load_heap(core, exe=exe, symbols=symbols, progress=progress)

    reader = Reader(folder, manifest, analyse, damaged)
    opened = Opened(restored_heap(process, reader), _key=key, _tell=tell)
    return opened


def _key_of(process: Process) -> dict[str, Any]:
    core = process.core
    outside = core.executable is None  # otherwise it is a part of the capture
    return {
        "format": FORMAT,
        "analysis": analysis_version(),
        "capture": identity_of(core.path),
        "executable": digest_of(process.executable.data) if outside else None,
        "symbols": [digest_of(each.named_by.executable.data) for each in process.programs if each.named_by],
    }


def _find(capture: Path, key: dict[str, Any], tell: Tell) -> tuple[Path, dict[str, Any]] | None:
    """Return the first kept analysis that belongs to `key`; say why others do not."""
    for place in places(capture):
        try:
            manifest = read_manifest(place)
            if manifest is None:
                continue
            differing = next((name for name, value in key.items() if manifest.get(name) != value), None)
            if differing is None:
                check_files(place, manifest)
                return place, manifest
        except (OSError, ValueError, KeyError, TypeError) as error:
            tell(f"the kept analysis {place} is damaged ({error}): analysing again")
            continue
        whose = {
            "format": "another heldby's",
            "analysis": "another heldby's",
            "executable": "for another program",
            "symbols": "with names from elsewhere",
        }
        tell(f"the kept analysis {place} is {whose.get(differing, 'for another capture')}: analysing again")
    return None


def _reason(error: OSError | None) -> str:
    if error is None:
        return "there is no place for it"
    return f"{error.filename}: {error.strerror}" if error.strerror else str(error)
