"""The prompt of ``heldby sql``: lines up to a semicolon, with completion, on Python's own readline.

prompt_toolkit would colour as one types, for another package in every installation; readline completes and
remembers. The history is not written to disk: queries may contain what the process's memory says.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

import click

from heldby.cli.reporting import report
from heldby.errors import HeldbyError

_HELP: Final = """\
Queries end with a semicolon. Tab completes names of tables and columns.
  .tables         the tables, and what a row of each is
  .schema TABLE   the columns of a table: type, unit, meaning
  .help           this
  .quit           or Ctrl-D"""
_KEYWORDS: Final = (
    *(
        "SELECT",
        "FROM",
        "WHERE",
        "GROUP BY",
        "ORDER BY",
        "LIMIT",
        "JOIN",
        "USING",
        "DESC",
        "HAVING",
        "COUNT(*)",
    ),
    *(
        "SUM(",
        "AVG(",
        "MAX(",
        "MIN(",
        "DISTINCT",
        "LIKE",
        "DESCRIBE",
        "SUMMARIZE",
        "WITH",
        "BETWEEN",
        "IS NULL",
    ),
)


class Prompt:
    """Reads queries from stdin and answers each.

    Args:
        answer: answers a query, or raises a `HeldbyError`.
        interactive: someone types; an error is told and the next query read. From a pipe the first error ends it.
    """

    def __init__(self, answer: Callable[[str], None], *, interactive: bool) -> None:
        self._answer = answer
        self._interactive = interactive

    def run(self) -> None:
        """Read to the end of the input."""
        from heldby.sql.statements import says_nothing, split

        if self._interactive:
            _complete_with_readline()
            click.echo("SQL (DuckDB) over objects, types, holders, ...; .help for help", err=True)
        waiting: list[str] = []
        while True:
            try:
                line = self._line("  ...> " if waiting else "heldby> ")
            except KeyboardInterrupt:
                waiting = []
                click.echo(err=True)
                continue
            if line is None:
                break
            if not waiting and line.strip().startswith("."):
                if not self._command(line.split()):
                    return
                continue
            if not waiting and not line.strip():
                continue
            waiting.append(line)
            # Only such a line ends a query, or a comment, behind which a line with a dot may stand.
            if ";" in line or "*/" in line or "--" in line:
                queries, rest = split("\n".join(waiting))
                waiting = [rest] if rest else []
                for query in queries:
                    self._ask(query)
        rest = "\n".join(waiting).strip()
        if not says_nothing(rest):
            self._ask(rest)

    def _line(self, prompt: str) -> str | None:
        if not self._interactive:
            line = sys.stdin.readline()
            return line.removesuffix("\n") if line else None
        try:
            return input(prompt)
        except EOFError:
            click.echo(err=True)
            return None

    def _ask(self, query: str) -> None:
        try:
            self._answer(query)
        except HeldbyError as error:
            if not self._interactive:
                raise
            report(error)
        except KeyboardInterrupt:
            if not self._interactive:
                raise
            click.echo("interrupted", err=True)

    def _command(self, words: list[str]) -> bool:
        """Do what a line with a dot says; return whether to go on."""
        from heldby.sql.catalog import CATALOG
        from heldby.sql.schema import SQL_TYPES, UNITS

        if words[0] in (".quit", ".exit"):
            return False
        if words[0] == ".tables":
            for table in CATALOG.values():
                click.echo(f"{table.name:12}{table.meaning}")
        elif words[0] == ".schema" and len(words) == 2 and words[1] in CATALOG:
            for column in CATALOG[words[1]].columns:
                unit = UNITS.get(column.kind, "")
                click.echo(f"{column.name:18}{SQL_TYPES[column.kind]:9}{unit:9}{column.meaning}")
        else:
            click.echo(_HELP)
        return True


def completions(text: str, line: str) -> list[str]:
    """Return what `text`, the word being typed in `line`, may become: columns of the tables in the line first."""
    from heldby.sql.catalog import CATALOG

    if line.lstrip().startswith("."):
        names = [".tables", ".schema", ".help", ".quit", *CATALOG]
        return [name for name in names if name.startswith(text)]
    mentioned = [table for name, table in CATALOG.items() if name in line.lower().split()]
    tables = mentioned or list(CATALOG.values())
    columns = dict.fromkeys(column.name for table in tables for column in table.columns)
    lower = text.lower()
    found = [name for name in (*columns, *CATALOG) if name.startswith(lower)]
    found += [word for word in _KEYWORDS if lower and word.lower().startswith(lower)]
    return list(dict.fromkeys(found))


def _complete_with_readline() -> None:
    try:
        import readline
    except ImportError:  # a Python without it: lines are typed as they are
        return

    def complete(text: str, state: int) -> str | None:
        found = completions(text, readline.get_line_buffer())
        return found[state] if state < len(found) else None

    readline.set_completer(complete)
    readline.set_completer_delims(" \t\n,()=<>'\"+-*/;")
    readline.parse_and_bind("tab: complete")
