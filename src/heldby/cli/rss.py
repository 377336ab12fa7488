"""``heldby rss``: where the memory of a process went, every byte of it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import click

from heldby.cli import options
from heldby.cli.group import Command
from heldby.cli.heap_source import HeapSource
from heldby.cli.run import Run, output_console, write_file
from heldby.cli.tables import FORMATS, Output

if TYPE_CHECKING:
    from heldby.analysis.answer import Answer
    from heldby.api import Method
    from heldby.heap import Heap
    from heldby.heap.process import Process
    from heldby.progress import Progress


@click.command(
    cls=Command,
    short_help="Every byte of RSS in a row, the collector, other settings.",
    examples=(
        ("heldby rss 4242", "each row with what it consists of, the collector, and other settings"),
        ("heldby rss core.4242 --format csv -o rss.csv", "the rows of a core or capture as a table"),
    ),
)
@options.target
@options.exe
@options.symbols
@options.method("auto", "fork", "stop")
@options.cache
@click.option(
    "--format",
    "output_format",
    type=click.Choice(FORMATS),
    default="text",
    show_default=True,
    help="A screen for people, or exact numbers.",
)
@options.output()
@options.force
@options.talk
@click.pass_obj
def rss(
    run: Run,
    target: str,
    exe: Path | None,
    symbols: Path | None,
    method: Method,
    cache: bool,
    output_format: str,
    output: Path | None,
    force: bool,
) -> None:
    """Say where the resident memory of TARGET went: every byte has a row, and the rows add up.

    TARGET is a PID, a core file, a file that heldby capture wrote, or the URL of a program that serves
    net/http/pprof. What cannot be read makes the rows coarser, and a note says so.
    """
    place = Output(output_format, output, force, None)
    place.check()
    with run.working() as progress:
        source = HeapSource(target=target, exe=exe, symbols=symbols, method=method, cache=cache)
        answer = _answer(run, source, progress)
    _write(run, answer, place)


def _answer(run: Run, source: HeapSource, progress: Progress) -> Answer:
    from heldby.profiles.http_profiles import is_url

    if is_url(source.target):
        return _endpoint_answer(source.target, progress)
    from heldby.api import open_target, pid_of

    core = open_target(source.target, method=source.method, progress=progress)
    from heldby.analysis.rss.answering import rss_answer
    from heldby.heap import load_heap
    from heldby.heap.process import assemble_process

    def read_heap() -> Heap:
        if pid_of(source.target) is not None:
            return load_heap(core, exe=source.exe, symbols=source.symbols, progress=progress)
        return source.open(run, progress)

    def read_process() -> Process:
        return assemble_process(core, exe=source.exe, symbols=source.symbols)

    return rss_answer(core, read_heap, read_process, progress=progress)


def _endpoint_answer(target: str, progress: Progress) -> Answer:
    """Return what the program at an address says, with the kernel's figures where it surely runs here."""
    from heldby.analysis.rss.endpoint import endpoint_answer
    from heldby.capture.listening import command_line, listening_process, running_figures
    from heldby.errors import HeldbyError
    from heldby.profiles.http_profiles import fetch_text, parse_address
    from heldby.profiles.memory_statistics import parse_mem_stats

    address = parse_address(target, profile="heap")
    stats = parse_mem_stats(fetch_text(address, progress=progress), address.shown)
    pid = listening_process(address.host, address.port)
    if pid is None:
        return endpoint_answer(stats, address.shown, None, ("the process was not found on this machine",))
    place = target.partition("/debug/pprof")[0].rstrip("/")
    try:
        said = fetch_text(parse_address(f"{place}/debug/pprof/cmdline"), progress=progress).rstrip(b"\0")
    except HeldbyError:
        said = b""
    if not said or said != command_line(pid):
        caveat = f"process {pid} listens there, but does not call itself as the program that answers"
        return endpoint_answer(stats, address.shown, None, (caveat,))
    return endpoint_answer(stats, address.shown, running_figures(pid), ())


def _write(run: Run, answer: Answer, output: Output) -> None:
    if output.format in ("csv", "parquet"):
        from heldby.analysis.rss.table import rss_table

        output.write(run, rss_table(answer))
        return
    if output.format == "json":
        from heldby.render.json_output import to_json

        text = to_json(answer, parts=("capture", "process", "rss", "caveats"))
    else:
        from heldby.render.rss_screen import print_rss_screen

        if output.path is None:
            print_rss_screen(output_console(), answer, all_caveats=run.verbose)
            return
        file = io.StringIO()
        print_rss_screen(output_console(file), answer, all_caveats=run.verbose)
        text = file.getvalue()
    if output.path is None:
        click.echo(text, nl=False)
    else:
        write_file(output.path, text.encode(), force=output.force)
