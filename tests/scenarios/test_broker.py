"""nats-server as it is shipped: the driver fills it, and the server itself says with how much."""

from __future__ import annotations

from tests.support.broker import loaded_broker


def test_broker_reports_what_was_put_into_it() -> None:
    with loaded_broker(messages=3000, subscriptions=2000, clients=2) as broker:
        assert broker.messages == 3000
        assert broker.message_bytes > 3000 * 100
        assert 2000 <= broker.subscriptions < 2000 + 200  # the server has some of its own
        assert broker.clients == 2
