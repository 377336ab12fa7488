"""Records as JSON and back."""

from __future__ import annotations

import json

import numpy as np
import pytest

from heldby.analysis.answer import Answer, Finding, Holder
from heldby.store.plain import from_plain, to_plain
from tests.support.answers import story


def test_an_answer_comes_back_as_it_was() -> None:
    answer = story()

    assert from_plain(Answer, json.loads(json.dumps(to_plain(answer)))) == answer


def test_texts_that_are_no_utf_8_and_exact_floats_come_back() -> None:
    holder = Holder(path="caf\udce9", root="r", root_kind="global", retained_bytes=1 << 62, share=0.1 + 0.2)

    assert from_plain(Holder, json.loads(json.dumps(to_plain(holder)))) == holder


def test_numpy_numbers_become_python_s() -> None:
    finding = Finding(rule="r", title="t", evidence={"bytes": np.int64(5)}, saving_bytes=None)

    assert to_plain(finding)["evidence"] == {"bytes": 5}


@pytest.mark.parametrize("plain", [None, [], {}, {"path": "p"}])
def test_what_is_no_record_is_refused(plain: object) -> None:
    with pytest.raises((TypeError, KeyError)):
        from_plain(Holder, plain)
