"""docs/sql.md tells the truth: every table and column, from the code. HELDBY_UPDATE_DOCS=1 writes them into it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from heldby.sql.catalog import CATALOG
from heldby.sql.schema import SQL_TYPES, UNITS

PAGE = Path(__file__).parents[2] / "docs" / "sql.md"
BLOCK = re.compile(r"(<!-- tables -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def described() -> str:
    """Return the tables as Markdown."""
    lines: list[str] = []
    for table in CATALOG.values():
        lines += [
            f"### {table.name}",
            "",
            table.meaning,
            *([f"Cost: {table.cost}."] if table.cost else []),
            "",
        ]
        lines += ["| column | type | unit | meaning |", "| --- | --- | --- | --- |"]
        for column in table.columns:
            meaning = column.meaning + (" (*secret*)" if column.secret else "")
            unit = UNITS.get(column.kind, "")
            lines.append(f"| `{column.name}` | {SQL_TYPES[column.kind]} | {unit} | {meaning} |")
        lines.append("")
    return "\n".join(lines)


def test_the_page_describes_every_table_and_column() -> None:
    page = PAGE.read_text()
    updated = BLOCK.sub(lambda match: match[1] + described() + match[3], page)
    if os.environ.get("HELDBY_UPDATE_DOCS"):
        PAGE.write_text(updated)

    assert PAGE.read_text() == updated


def test_the_tables_are_those_that_were_promised() -> None:
    promised = "objects types fields edges roots goroutines spans holders sites strings"

    assert [name for name in promised.split() if name not in CATALOG] == []


def test_the_examples_of_the_page_name_only_columns_that_exist() -> None:
    names = {*CATALOG, *(column.name for table in CATALOG.values() for column in table.columns)}
    examples = re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.DOTALL)
    words = {word for example in examples for word in re.findall(r"\b[a-z]\.(\w+)", example)}

    assert len(examples) == 3
    assert words - names == set()
