"""Profiles fetched over HTTP: what is asked for, and what is said when something else answers."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from heldby.capture.listeners import listening_pid
from heldby.errors import CaptureError, FormatError, HeldbyError, LimitExceeded, UsageError
from heldby.profiles import http_profiles
from heldby.profiles.http_profiles import fetch_profile, is_url, parse_address
from heldby.profiles.weights import weigh
from tests.profiles.conftest import Served
from tests.profiles.test_pprof_files import small_profile

Answer = Callable[[BaseHTTPRequestHandler], None]


class Server(ThreadingHTTPServer):
    daemon_threads = True
    answer: Answer

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is what these tests are about."""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        self.server.answer(self)

    def log_message(self, *arguments: object) -> None:
        """Keep quiet."""


@contextmanager
def serving(answer: Answer, context: ssl.SSLContext | None = None) -> Iterator[str]:
    with Server(("127.0.0.1", 0), Handler) as server:
        server.answer = answer
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def body(data: bytes, status: int = 200, **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(data)

    return answer


def failure(answer: Answer, *, timeout: float = 10) -> HeldbyError:
    with serving(answer) as place, pytest.raises(HeldbyError) as raised:
        fetch_profile(parse_address(f"http://{place}"), timeout=timeout)
    return raised.value


def test_a_host_and_port_mean_its_heap_profile() -> None:
    address = parse_address("http://localhost:6060")

    assert (address.url, address.profile) == ("http://localhost:6060/debug/pprof/heap", "heap")
    assert parse_address("http://h:1/debug/pprof/").url == "http://h:1/debug/pprof/heap"
    assert parse_address("http://h:1", profile="goroutine").url == "http://h:1/debug/pprof/goroutine"
    assert parse_address("http://[::1]:1").url == "http://[::1]:1/debug/pprof/heap"
    assert parse_address("https://h/x/allocs?seconds=5").url == "https://h:443/x/allocs?seconds=5"
    assert parse_address("https://h/x/allocs?seconds=5").seconds == 5


def test_a_collection_is_asked_for_only_on_request() -> None:
    assert "gc" not in parse_address("http://h:1").url
    assert parse_address("http://h:1", gc=True).url == "http://h:1/debug/pprof/heap?gc=1"
    with pytest.raises(UsageError, match="--gc does nothing for allocs"):
        parse_address("http://h:1/debug/pprof/allocs", gc=True)


@pytest.mark.parametrize("target", ["http://", "http://h:99999", "http://h:x", "http://[::1"])
def test_what_is_no_address_is_refused(target: str) -> None:
    with pytest.raises(UsageError, match=r"is no address|names no host"):
        parse_address(target)


def test_files_and_other_protocols_are_no_urls() -> None:
    assert [
        is_url(text) for text in ("http://h", "HTTPS://h", "https+insecure://h", "ftp://h", "http", "4242")
    ] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]


def test_a_live_program_is_asked_and_its_pid_is_known(served: Served) -> None:
    address = parse_address(served.url, gc=True)

    weights = weigh(fetch_profile(address), 3)

    assert (
        dict(zip((key[0] for key in weights.keys), weights.flat.tolist(), strict=True))["main.blocks"]
        == 638_976
    )
    assert listening_pid(address.host, address.port) == served.running.pid
    assert listening_pid("localhost", address.port) == served.running.pid
    assert listening_pid("192.0.2.1", address.port) is None


def test_nobody_listens_on_a_port_that_is_only_bound() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        assert listening_pid("127.0.0.1", bound.getsockname()[1]) is None
        bound.listen()
        assert listening_pid("127.0.0.1", bound.getsockname()[1]) == os.getpid()


def test_a_profile_that_is_not_offered_names_those_that_are(served: Served) -> None:
    with pytest.raises(CaptureError, match="has no profile nosuch") as raised:
        fetch_profile(parse_address(served.url, profile="nosuch"))
    assert raised.value.next_step is not None
    assert "allocs, block, goroutine, heap" in raised.value.next_step


def test_a_program_without_the_endpoint_gets_advice() -> None:
    error = failure(body(b"404 page not found", 404))

    assert "there is nothing at http://127.0.0.1" in error.message
    assert error.cause == "the program does not import net/http/pprof, or serves it elsewhere"


def test_a_server_error_is_told_with_its_number() -> None:
    assert "answered 503 Service Unavailable" in failure(body(b"", 503)).message


def test_a_login_is_asked_for_and_sent() -> None:
    def guarded(request: BaseHTTPRequestHandler) -> None:
        allowed = request.headers.get("Authorization") == "Basic dXNlcjpwYXNz"
        body(small_profile() if allowed else b"", 200 if allowed else 401)(request)

    assert "refuses: 401" in failure(guarded).message
    with serving(guarded) as place:
        address = parse_address(f"http://user:pass@{place}/heap")
        assert len(fetch_profile(address)) == 3
        assert "pass" not in address.shown
        assert "pass" not in address.url


def test_a_web_page_is_no_profile() -> None:
    error = failure(body(b"<html>log in</html>", Content_Type="text/html"))

    assert isinstance(error, FormatError)
    assert "served a web page, not a profile" in error.message


@pytest.mark.parametrize("data", [b"", b"\x1f\x8b\x08", b"\xff\xff\xff\xff", small_profile()[:-9]])
def test_other_answers_are_format_errors(data: bytes) -> None:
    assert isinstance(failure(body(data)), FormatError)


def test_an_answer_that_breaks_off_is_an_error() -> None:
    error = failure(body(small_profile()[:50], Content_Length="5000"))

    assert isinstance(error, CaptureError)
    assert "of 5,000 bytes" in error.message or "50 bytes read" in error.message


def test_a_huge_answer_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_profiles, "LARGEST_ANSWER", 1 << 20)

    error = failure(body(bytes(4 << 20)))

    assert isinstance(error, LimitExceeded)
    assert "sent more than 1 MiB" in error.message


def test_a_server_that_is_silent_or_drips_is_given_up() -> None:
    done = threading.Event()

    def drips(request: BaseHTTPRequestHandler) -> None:
        body(b"")(request)
        while not done.wait(0.05):
            request.wfile.write(b"\x1f")

    try:
        for answer in (lambda _: done.wait(20) and None, drips):
            error = failure(answer, timeout=0.4)
            assert "did not answer within 0 s" in error.message
            assert error.next_step == "give it more time with --timeout SECONDS"
    finally:
        done.set()


def test_redirects_are_followed_but_only_to_http() -> None:
    def moved(request: BaseHTTPRequestHandler) -> None:
        if request.path == "/moved":
            body(small_profile())(request)
        else:
            body(b"", 302, Location="/moved")(request)

    with serving(moved) as place:
        assert len(fetch_profile(parse_address(f"http://{place}"))) == 3
    for location in ("file:///etc/passwd", "ftp://127.0.0.1/x"):
        assert "answered 302" in failure(body(b"", 302, Location=location)).message
    endless = failure(body(b"", 302, Location="/debug/pprof/heap"))
    assert "302" in endless.message


def test_a_password_does_not_follow_to_another_host() -> None:
    seen: list[str | None] = []

    def other(request: BaseHTTPRequestHandler) -> None:
        seen.append(request.headers.get("Authorization"))
        body(small_profile())(request)

    with serving(other) as target, serving(body(b"", 302, Location=f"http://{target}/heap")) as place:
        fetch_profile(parse_address(f"http://user:pass@{place}"))
    assert seen == [None]


def test_nobody_there_is_an_error_with_advice() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(CaptureError, match="Connection refused"):
            fetch_profile(parse_address(f"http://127.0.0.1:{port}"))


def test_a_certificate_must_be_trusted_unless_said_otherwise(tmp_path: Path, served: Served) -> None:
    generator = Path(
        subprocess.run(
            [served.go.go, "env", "GOROOT"],
            env=served.go.environment(),
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip(),
        "src/crypto/tls/generate_cert.go",
    )
    subprocess.run(
        [served.go.go, "run", generator, "--host", "127.0.0.1", "--ecdsa-curve", "P256"],
        cwd=tmp_path,
        env=served.go.environment(),
        capture_output=True,
        check=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")

    with serving(body(small_profile()), context) as place:
        with pytest.raises(CaptureError, match=r"certificate of 127\.0\.0\.1:.* is not trusted"):
            fetch_profile(parse_address(f"https://{place}"))
        assert len(fetch_profile(parse_address(f"https+insecure://{place}"))) == 3


def test_plain_http_behind_https_is_told() -> None:
    with serving(body(small_profile())) as place, pytest.raises(CaptureError, match="does not speak TLS"):
        fetch_profile(parse_address(f"https://{place}"))
