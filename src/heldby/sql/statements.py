"""Where queries end in a text, by DuckDB's own lexer: semicolons in texts, names and comments end none."""

from __future__ import annotations

from collections.abc import Iterator


def split(text: str) -> tuple[list[str], str]:
    """Return the queries of `text` that end with a semicolon, and what is behind the last of them.

    Queries that say nothing are left out, and so are comments behind the last one, unless one is still open.
    """
    data = text.encode()  # DuckDB counts bytes
    queries, first, says, last = [], 0, False, 0
    for at, is_comment in _tokens(text):
        last = at
        if is_comment or data[at : at + 1] != b";":
            says |= not is_comment
            continue
        if says:
            queries.append(data[first : at + 1].decode().strip())
        first, says = at + 1, False
    rest = data[first:].decode().lstrip()
    comment = data[max(first, last) :].decode().strip()
    is_open = comment.startswith("/*") and not comment.endswith("*/")
    return queries, rest if says or is_open else ""


def says_nothing(text: str) -> bool:
    """Tell whether `text` has nothing but blanks and comments."""
    return all(is_comment for _, is_comment in _tokens(text))


def _tokens(text: str) -> Iterator[tuple[int, bool]]:
    """Yield where each token begins, in bytes, and whether it is a comment."""
    import duckdb

    for at, kind in duckdb.tokenize(text):
        yield at, kind == duckdb.token_type.comment
