"""nats-server as it is shipped, without debug information: it says itself what it holds, and so does heldby."""

from __future__ import annotations

import pytest

import heldby
from heldby.analysis.answering import answer_of
from tests.support.broker import loaded_broker
from tests.support.places import types_of


def test_broker_reports_what_was_put_into_it() -> None:
    with loaded_broker(messages=3000, subscriptions=2000, clients=2) as broker:
        assert broker.messages == 3000
        assert broker.message_bytes > 3000 * 100
        assert 2000 <= broker.subscriptions < 2000 + 200  # the server has some of its own
        assert broker.clients == 2


@pytest.mark.ptrace
def test_subscription_list_and_message_store_hold_most() -> None:
    with loaded_broker(messages=25_000, subscriptions=25_000) as broker:
        heap = heldby.open(broker.pid).heap

    answer = answer_of(heap)
    holders = answer.holders
    first, second = holders[:2]
    types = types_of(heap)
    assert ".sl.root" in first.path
    assert first.path.startswith("server.Account")
    assert second.path.startswith("server.stream.store.msgs")
    assert second.type == "server.StoreMsg"
    assert second.objects_at_end == broker.messages == 25_000
    assert types["server.StoreMsg"] == broker.messages
    # Some thirty of the server's own are in no list that /subsz counts.
    assert broker.subscriptions <= types["server.subscription"] < broker.subscriptions + 100
    # The bodies, headers and subjects of the messages lie in buffers of their own beneath the store.
    assert second.retained_bytes > broker.message_bytes
    assert first.share + second.share > 0.7
    assert second.containers == ("map of 25,000 entries",)
    # Every live byte has one row, and the runtime's ways to the server's objects have next to none.
    assert sum(holder.retained_bytes for holder in holders) == answer.heap.live_bytes
    runtime = sum(holder.retained_bytes for holder in holders if holder.root_kind == "runtime")
    assert runtime < 0.01 * answer.heap.live_bytes
    assert answer.heap.typed_bytes > 0.97 * answer.heap.live_bytes
