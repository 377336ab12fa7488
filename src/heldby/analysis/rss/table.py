"""The account as a `Table`, a row for each of its rows, what is charged beside RSS last."""

from __future__ import annotations

from heldby.analysis.answer import Answer, RssRow
from heldby.analysis.table import Kind, Table, number_column, text_column


def rss_table(answer: Answer) -> Table:
    """Return the rows; resident bytes of those of group ``cgroup``, ``kernel`` and ``swap`` are no part of RSS."""
    account = answer.rss
    rows = [*account.rows]
    if account.unexplained_bytes is not None:
        rows.append(RssRow(name="unexplained", bytes=account.unexplained_bytes))
    rows += account.beyond
    total = account.total_bytes
    inside = len(rows) - len(account.beyond)
    shares = [
        None if row.bytes is None or not total or place >= inside else row.bytes / total
        for place, row in enumerate(rows)
    ]
    return Table(
        name="rss",
        columns=(
            text_column("row", [row.name for row in rows]),
            text_column("group", [row.group for row in rows]),
            number_column("resident_bytes", Kind.BYTES, [row.bytes for row in rows]),
            number_column("share", Kind.SHARE, shares),
            number_column("virtual_bytes", Kind.BYTES, [row.virtual_bytes for row in rows]),
            number_column("swapped_bytes", Kind.BYTES, [row.swapped_bytes for row in rows]),
            text_column("note", [row.note for row in rows]),
            text_column("source", [row.source for row in rows]),
            text_column("remedy", [row.remedy for row in rows]),
        ),
        title=account.verdict or "",
        notes=answer.caveats,
    )
