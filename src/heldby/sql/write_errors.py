"""What DuckDB says when it cannot write a file, as people should read it."""

from __future__ import annotations

import json
import re
from typing import Final

_KIND: Final = re.compile(r"^[A-Z]\w+(?: [A-Z]\w+)* Error: ")


def write_failure(error: Exception) -> str:
    """Return the reason in an error of DuckDB's: the innermost message of what it wraps as JSON, or its first line.

    ``IO Error: Async write failed for range [4, 84): {"exception_type":"IO","exception_message":"Could not ..."}``
    """
    text = str(error)
    while True:
        _, brace, tail = text.partition("{")
        try:
            inner, _ = json.JSONDecoder().raw_decode(brace + tail)
        except ValueError:
            break
        message = inner.get("exception_message") if isinstance(inner, dict) else None
        if not isinstance(message, str):
            break
        text = message
    return _KIND.sub("", text.partition("\n")[0])
