"""What commands that print a table have in common: where it goes, in which format, and which rows."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from heldby.cli import options
from heldby.cli.heap_source import HeapSource, heap_source
from heldby.cli.run import Run, output_console, refuse_output, replacing, write_file
from heldby.errors import UsageError

if TYPE_CHECKING:
    from rich.text import Text

    from heldby.analysis.drilldown.selection import Selection
    from heldby.analysis.holding.holder_tree import HolderTree
    from heldby.analysis.table import Table
    from heldby.progress import Progress

_F = TypeVar("_F", bound=Callable[..., Any])

FORMATS: Final = ("text", "json", "csv", "parquet")
ROWS_ON_A_SCREEN: Final = 20


@dataclass(frozen=True, slots=True)
class Output:
    """Where a table goes.

    Attributes:
        format: one of `FORMATS`.
        path: the file, None for stdout.
        force: replace the file.
        limit: rows at most, None where the user did not say.
    """

    format: str
    path: Path | None
    force: bool
    limit: int | None

    @property
    def rows(self) -> int | None:
        """Rows to show: what the user said, else a screenful of text and all of any other format."""
        return ROWS_ON_A_SCREEN if self.limit is None and self.format == "text" else self.limit

    def check(self) -> None:
        """Raise `UsageError` before the work when the output cannot go there."""
        if self.path is None and self.format == "parquet":
            raise UsageError("parquet is a file format", next_step="name the file with -o FILE")
        refuse_output(self.path, force=self.force)

    def write_screen(self, run: Run, screen: Callable[[int], Text]) -> None:
        """Print or write what `screen` makes for a width, where text is more than a table, and what it lacks."""
        from rich.text import Text

        from heldby.render.plain_text import print_text
        from heldby.render.table_output import note_lines

        file = None if self.path is None else io.StringIO()
        console = output_console(file)
        lines = note_lines(run.losses, console.width, show_all=run.verbose)
        print_text(console, Text("\n").join([screen(console.width), *lines]))
        if self.path is not None and file is not None:
            write_file(self.path, file.getvalue().encode(), force=self.force)

    def write_text(self, text: str) -> None:
        """Print or write a text that is whole, JSON for instance."""
        if self.path is None:
            click.echo(text, nl=False)
        else:
            write_file(self.path, text.encode(), force=self.force)

    def write(self, run: Run, table: Table, *, limited: bool = True) -> None:
        """Print or write `table` with what the heap's numbers lack; whole, without `limited`, if it has its limit.

        CSV and Parquet have no place for notes: stderr has them then.
        """
        from heldby.render.table_formats import table_to_csv, table_to_json, write_parquet
        from heldby.render.table_output import print_table

        shown = (table.head(self.rows) if limited else table).with_losses(run.losses)
        if self.format in ("csv", "parquet"):
            run.tell_losses()
        if self.path is not None and self.format == "parquet":
            with replacing(self.path, force=self.force) as temporary:
                write_parquet(shown, temporary)
            return
        if self.format == "text":
            file = None if self.path is None else io.StringIO()
            print_table(output_console(file), shown, all_notes=run.verbose)
            text = file.getvalue() if file is not None else ""
        else:
            text = table_to_json(shown) if self.format == "json" else table_to_csv(shown)
            if self.path is None:
                click.echo(text, nl=False)
        if self.path is not None:
            write_file(self.path, text.encode(), force=self.force)


def table_output(function: _F) -> _F:
    """Add ``--format``, ``--limit``, ``-o`` and ``--force``; the command takes them as ``output``."""

    @functools.wraps(function)
    def command(
        *args: Any,
        output_format: str,
        output_path: Path | None,
        force: bool,
        limit: int | None,
        **kwargs: Any,
    ) -> Any:
        output = Output(output_format, output_path, force, limit)
        output.check()
        return function(*args, output=output, **kwargs)

    with_options: Any = options.force(command)
    with_options = options.output("output_path")(with_options)
    with_options = click.option(
        "--limit",
        type=click.IntRange(min=1),
        metavar="N",
        help=f"Rows to give; {ROWS_ON_A_SCREEN} as text and all otherwise if not given.",
    )(with_options)
    return click.option(  # type: ignore[no-any-return]
        "--format",
        "output_format",
        type=click.Choice(FORMATS),
        default="text",
        show_default=True,
        help="A table for people, or exact numbers.",
    )(with_options)


def question(function: _F) -> _F:
    """Add TARGET and what opening it needs; the command takes a function that opens it as ``opened``."""

    @functools.wraps(function)
    def command(*args: Any, source: HeapSource, **kwargs: Any) -> Any:
        return function(*args, opened=functools.partial(Opened, source), **kwargs)

    return heap_source(command)  # type: ignore[return-value]


class Opened:
    """A target, opened, with what several answers need; made only when it is asked for."""

    def __init__(self, source: HeapSource, progress: Progress) -> None:
        run = click.get_current_context().ensure_object(Run)
        self.progress = progress
        self.heap = source.open(run, progress)
        with progress.phase("dominator tree"):
            _ = self.heap.tree.reached_count

    def tree(self) -> HolderTree:
        """Return the merged paths."""
        from heldby.analysis.holding.holder_tree import build_holder_tree

        with self.progress.phase("holders"):
            return build_holder_tree(self.heap)


Opener = Callable[["Progress"], Opened]


@dataclass(frozen=True, slots=True)
class Filters:
    """Which objects count, and which rows are shown; None for all.

    Attributes:
        package: pattern of import paths.
        type: pattern of type names.
        holder: a path.
        min_size: least bytes of a row.
    """

    package: str | None = None
    type: str | None = None
    holder: str | None = None
    min_size: int | None = None

    def selection(self) -> Selection:
        """Return them as the analysis takes them."""
        from heldby.analysis.drilldown.selection import Selection

        return Selection(package=self.package, type=self.type, holder=self.holder)


_FILTERS: Final[dict[str, Callable[[Any], Any]]] = {
    "package": click.option(
        "--package",
        metavar="PATTERN",
        help="Only objects whose type is of this package; ... stands for any text: encoding/...",
    ),
    "type": click.option(
        "--type",
        "type_pattern",
        metavar="PATTERN",
        help="Only objects of this type: main.Entry, map[string]...",
    ),
    "holder": click.option(
        "--holder",
        metavar="PATH",
        help="Only objects that this path holds, and all below it: main.manager.paths",
    ),
    "min_size": click.option(
        "--min-size",
        type=options.byte_count,
        metavar="BYTES",
        help="Only rows of at least so many bytes: 4096, 10KiB, 1.5GiB.",
    ),
}


def filters(*names: str) -> Callable[[_F], _F]:
    """Add the options of `names`, taken as ``filters``; all of them (package, type, holder, min_size) without names."""
    names = names or tuple(_FILTERS)

    def decorate(function: _F) -> _F:
        @functools.wraps(function)
        def command(*args: Any, **kwargs: Any) -> Any:
            given = {name: kwargs.pop("type_pattern" if name == "type" else name, None) for name in names}
            return function(*args, filters=Filters(**given), **kwargs)

        with_options: Any = command
        for name in reversed(names):
            with_options = _FILTERS[name](with_options)
        return with_options  # type: ignore[no-any-return]

    return decorate
