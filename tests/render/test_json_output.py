"""The JSON keeps to schema 1: names, order, types; null for what is absent; safe whatever the target says."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np

from heldby.analysis.answer import Answer, CaptureFacts, Finding, HeapTotals, ProcessFacts
from heldby.render.json_output import to_json
from tests.support.answers import story

NUMBER = (int, float, type(None))
COUNT = (int, type(None))
TEXT = (str, type(None))

# The schema of design section 7, written out; a list holds what each of its items must be.
SCHEMA_1: dict[str, Any] = {
    "schema": int,
    "capture": {"method": str, "pause_ms": NUMBER, "seconds": NUMBER, "captured_bytes": COUNT},
    "process": {
        "pid": COUNT,
        "go_version": TEXT,
        "arch": TEXT,
        "exe": TEXT,
        "build_id": TEXT,
        "stripped": (bool, type(None)),
        "rss_bytes": COUNT,
    },
    "heap": dict.fromkeys(
        (
            *("objects", "object_bytes", "live_objects", "live_bytes", "garbage_objects", "garbage_bytes"),
            *("typed_bytes", "marked_objects", "marked_bytes"),
        ),
        COUNT,
    ),
    "rss": {
        "total_bytes": COUNT,
        "rows": [{"name": str, "bytes": COUNT, "note": TEXT, "virtual_bytes": COUNT, "group": TEXT}],
        "unexplained_bytes": COUNT,
        "verdict": TEXT,
        "cause": TEXT,
    },
    "holders": [
        {
            "path": str,
            "root": str,
            "root_kind": str,
            "type": TEXT,
            "held_by": [str],
            "retained_bytes": int,
            "retained_objects": COUNT,
            "share": NUMBER,
        }
    ],
    "sites": [
        {"stack": [{"func": str, "file": TEXT, "line": COUNT}], "live_bytes": COUNT, "live_objects": COUNT}
    ],
    "held": [{"site": int, "holder": int, "bytes": int, "samples": int}],
    "findings": [{"rule": str, "title": str, "holder": TEXT, "evidence": dict, "saving_bytes": COUNT}],
    "caveats": [str],
}


def violations(value: Any, schema: Any, where: str = "$") -> list[str]:
    """Return where `value` breaks `schema`; fields that the schema does not name are allowed."""
    if isinstance(schema, dict):
        if not isinstance(value, dict):
            return [f"{where} is no object"]
        missing = [f"{where}.{key} is missing" for key in schema if key not in value]
        order = [key for key in value if key in schema]
        if not missing and order != list(schema):
            missing.append(f"{where} has its fields in the order {order}")
        return missing + [
            found
            for key in schema
            if key in value
            for found in violations(value[key], schema[key], f"{where}.{key}")
        ]
    if isinstance(schema, list):
        if not isinstance(value, list):
            return [f"{where} is no array"]
        return [
            found for i, item in enumerate(value) for found in violations(item, schema[0], f"{where}[{i}]")
        ]
    allowed = schema if isinstance(schema, tuple) else (schema,)
    if isinstance(value, bool) and bool not in allowed:
        return [f"{where} is a bool"]
    return [] if isinstance(value, allowed) else [f"{where} is {value!r}"]


def test_the_story_keeps_to_schema_1() -> None:
    finding = Finding(rule="r", title="t", holder="main.cache", evidence={"entries": 3}, saving_bytes=None)
    answer = replace(story(), findings=(finding,))

    document = json.loads(to_json(answer))

    assert violations(document, SCHEMA_1) == []
    assert document["schema"] == 1
    assert next(iter(document)) == "schema"
    assert document["holders"][0]["path"] == "main.manager.paths[*].Seen[*]"
    assert document["holders"][0]["retained_bytes"] == 908 << 20
    assert document["findings"][0]["evidence"] == {"entries": 3}


def test_the_check_itself_notices_a_broken_document() -> None:
    document = json.loads(to_json(story()))
    del document["heap"]["live_bytes"]
    document["holders"][0]["share"] = "87%"
    document["capture"] = dict(reversed(document["capture"].items()))

    assert len(violations(document, SCHEMA_1)) == 3


def test_absent_facts_are_null_and_never_zero() -> None:
    answer = Answer(capture=CaptureFacts(method="core"), process=ProcessFacts(), heap=HeapTotals())

    document = json.loads(to_json(answer))

    assert violations(document, SCHEMA_1) == []
    assert set(document["heap"].values()) == {None}
    assert set(document["process"].values()) == {None}
    assert [value for value in document["rss"].values() if value != []] == [None] * 6
    assert document["holders"] == []


def test_numpy_scalars_and_impossible_floats_become_plain_json() -> None:
    answer = replace(
        story(),
        heap=HeapTotals(live_bytes=np.int64(5)),  # type: ignore[arg-type]
        capture=CaptureFacts(method="fork", pause_ms=float("nan"), seconds=float("inf")),
    )

    document = json.loads(to_json(answer))

    assert document["heap"]["live_bytes"] == 5
    assert document["capture"]["pause_ms"] is None
    assert document["capture"]["seconds"] is None


def test_hostile_texts_are_ascii_in_the_output_and_themselves_after_parsing() -> None:
    evil = 'a"\x1b[2J\u202e\n</script>'
    answer = replace(story(), caveats=(evil, b"\xff.so".decode("utf-8", "surrogateescape")))

    text = to_json(answer)

    assert text.isascii()
    assert "\x1b" not in text
    assert json.loads(text)["caveats"] == [evil, r"\xff.so"]


def test_a_limit_cuts_holders_and_what_speaks_of_them() -> None:
    document = json.loads(to_json(story(), limit=1))

    assert len(document["holders"]) == 1
    assert len(document["held"]) == 2
    assert {row["holder"] for row in document["held"]} == {0}
