"""Fetches profiles from the HTTP endpoint of net/http/pprof. What answers there is not trusted.

Addresses as `go tool pprof` takes them: ``http://HOST:PORT`` means ``/debug/pprof/heap`` there,
``https+insecure://`` accepts any certificate. Only HTTP is spoken, redirects included; the answer is bounded
in bytes and in time.
"""

from __future__ import annotations

import base64
import re
import socket
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, replace
from http.client import HTTPException, HTTPMessage
from typing import IO, Any, Final
from urllib.parse import SplitResult, parse_qs, urlencode, urlsplit

from heldby.errors import CaptureError, FormatError, HeldbyError, LimitExceeded, UsageError
from heldby.profiles.pprof_read import parse_profile
from heldby.profiles.profile import Profile
from heldby.progress import QUIET, Progress
from heldby.version import __version__

SCHEMES: Final = ("http", "https", "https+insecure")
LARGEST_ANSWER: Final = 512 << 20
DEFAULT_SECONDS: Final = 60.0
_CHUNK: Final = 1 << 16
_INDEX: Final = "/debug/pprof/"
_BASES: Final = ("", "/", "/debug/pprof", _INDEX)
_OFFERED: Final = re.compile(rb"href=['\"]?(?:/debug/pprof/)?([a-z_]{2,40})\?debug=")
_NO_PROFILES: Final = {"cmdline", "symbol", "trace"}
_PROFILE_NAME: Final = re.compile(r"[A-Za-z0-9_./-]{1,100}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a profile is served.

    Attributes:
        url: the whole address, without user and password.
        shown: the same for messages, without the query.
        host: name or number.
        port: TCP port.
        profile: last part of the path: ``heap``.
        seconds: what the query asks the server to wait.
        insecure: any certificate will do.
        authorization: value of the header of that name, empty for none.
    """

    url: str
    shown: str
    host: str
    port: int
    profile: str
    seconds: float
    insecure: bool
    authorization: str


def is_url(target: str) -> bool:
    """Tell whether a target is an address to fetch from."""
    return target.split("://", 1)[0].lower() in SCHEMES and "://" in target


def parse_address(target: str, *, profile: str | None = None, gc: bool = False) -> Address:
    """Return the address of a profile.

    Args:
        target: ``http://HOST:PORT``, or the whole address of a profile.
        profile: which one, for an address that names none; ``heap`` if not given.
        gc: ask for a collection before; only ``heap`` knows that (net/http/pprof, handler.ServeHTTP).

    Raises:
        UsageError: no address, or one that contradicts the options.
    """
    try:
        parts = urlsplit(target)
        port = parts.port or (80 if parts.scheme == "http" else 443)
    except ValueError as error:
        raise UsageError(f"{target} is no address", cause=str(error), next_step=_EXAMPLE) from error
    if not parts.hostname:
        raise UsageError(f"{target} names no host", next_step=_EXAMPLE)
    path = parts.path
    if path in _BASES:
        if not _PROFILE_NAME.fullmatch(profile or "heap"):
            raise UsageError(f"{profile} is no profile's name", next_step="name heap, allocs or goroutine")
        path = _INDEX + (profile or "heap")
    elif profile is not None and path.rpartition("/")[2] != profile:
        raise UsageError(
            f"{target} names its profile already", next_step="leave --profile away, or give http://HOST:PORT"
        )
    query = parse_qs(parts.query, keep_blank_values=True)
    name = path.rpartition("/")[2]
    if gc:
        if name != "heap":
            raise UsageError(
                f"--gc does nothing for {name}",
                cause="of Go's profiles only heap collects before it answers",
                next_step="leave --gc away, or ask for heap",
            )
        query["gc"] = ["1"]
    return _address(parts, path, urlencode(query, doseq=True), port, _seconds(query))


_EXAMPLE: Final = "write it like http://127.0.0.1:6060"


def _address(parts: SplitResult, path: str, query: str, port: int, seconds: float) -> Address:
    host = parts.hostname or ""
    place = f"[{host}]" if ":" in host else host
    scheme = "https" if parts.scheme == "https+insecure" else parts.scheme
    shown = f"{scheme}://{place}:{port}{path}"
    login = ""
    if parts.username:
        pair = f"{parts.username}:{parts.password or ''}".encode()
        login = "Basic " + base64.b64encode(pair).decode()
    return Address(
        url=shown + (f"?{query}" if query else ""),
        shown=shown,
        host=host,
        port=port,
        profile=path.rpartition("/")[2],
        seconds=seconds,
        insecure=parts.scheme == "https+insecure",
        authorization=login,
    )


def _seconds(query: dict[str, list[str]]) -> float:
    try:
        return min(max(float(query.get("seconds", ["0"])[0]), 0.0), 86_400.0)
    except ValueError:
        return 0.0


def fetch_profile(
    address: Address, *, timeout: float = DEFAULT_SECONDS, progress: Progress = QUIET
) -> Profile:
    """Return the profile that `address` serves.

    Args:
        address: from `parse_address`.
        timeout: seconds for all of it, beside those that the address asks the server to wait.
        progress: told of the bytes.

    Raises:
        CaptureError: nobody answers, or not in time, or with an error.
        FormatError: what answers is no profile.
        LimitExceeded: more than `LARGEST_ANSWER`.
    """
    data, kind = _download(address, timeout + address.seconds, progress)
    if not data:
        raise FormatError(f"{address.shown} answered with nothing", next_step="try again")
    try:
        return parse_profile(data, address.shown)
    except FormatError as error:
        if kind.startswith("text/html") or data[:200].lstrip()[:1] == b"<":
            raise FormatError(
                f"{address.shown} served a web page, not a profile",
                cause="something else listens there, or a proxy or login page answered",
                next_step=f"look at it with: curl -i {address.shown}",
            ) from error
        raise


def fetch_text(address: Address, *, timeout: float = DEFAULT_SECONDS, progress: Progress = QUIET) -> bytes:
    """Return what `address` answers with ``debug=1``, the text form of its profile.

    Raises:
        CaptureError: nobody answers, or not in time, or with an error.
        LimitExceeded: more than `LARGEST_ANSWER`.
    """
    separator = "&" if "?" in address.url else "?"
    return _download(replace(address, url=f"{address.url}{separator}debug=1"), timeout, progress)[0]


def _download(address: Address, seconds: float, progress: Progress) -> tuple[bytes, str]:
    """Return the body of the answer and its content type."""
    end = time.monotonic() + seconds
    body = bytearray()
    try:
        with (
            _open(address, seconds) as answer,
            progress.phase(f"fetching {address.profile}", unit="bytes") as phase,
        ):
            while chunk := answer.read1(_CHUNK):
                body += chunk
                phase.advance(len(chunk))
                if len(body) > LARGEST_ANSWER:
                    raise LimitExceeded(
                        f"{address.shown} sent more than {LARGEST_ANSWER >> 20} MiB",
                        cause="no profile is that large; something else may answer there",
                        next_step=f"look at it with: curl -i {address.shown}",
                    )
                if time.monotonic() > end:
                    raise TimeoutError
            _refuse_cut_off(answer.headers.get("Content-Length", ""), len(body))
            return bytes(body), str(answer.headers.get("Content-Type", ""))
    except urllib.error.HTTPError as error:
        raise _refused(address, error) from error
    except (OSError, HTTPException) as error:
        raise _unreachable(address, error, seconds) from error
    except ValueError as error:  # urllib's word for addresses that it does not like
        raise UsageError(f"{address.shown} is no address", cause=str(error), next_step=_EXAMPLE) from error


def _refuse_cut_off(expected: str, size: int) -> None:
    if expected.isdecimal() and size < int(expected[:15]):
        raise HTTPException(f"only {size:,} of {int(expected[:15]):,} bytes came")


class _OnlyHttp(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but neither to other protocols nor with the password to another host."""

    max_redirections = 5

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        parts = urlsplit(newurl)
        if parts.scheme not in ("http", "https"):
            raise urllib.error.HTTPError(newurl, code, f"redirect to {parts.scheme or '?'}", headers, fp)
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None and parts.netloc != urlsplit(req.full_url).netloc:
            request.remove_header("Authorization")
        return request


def _open(address: Address, timeout: float) -> Any:
    context = ssl.create_default_context()
    if address.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=context),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _OnlyHttp(),
    ):
        opener.add_handler(handler)
    headers = {"User-Agent": f"heldby/{__version__}", "Accept-Encoding": "identity"}
    if address.authorization:
        headers["Authorization"] = address.authorization
    return opener.open(urllib.request.Request(address.url, headers=headers), timeout=timeout)  # noqa: S310


def _refused(address: Address, error: urllib.error.HTTPError) -> HeldbyError:
    with error:
        said = error.reason if isinstance(error.reason, str) else ""
    if error.code in (401, 403):
        return CaptureError(
            f"{address.shown} refuses: {error.code} {said}",
            cause="it wants a login",
            next_step="write it as http://USER:PASSWORD@HOST:PORT, or ask from the machine itself",
        )
    if error.code in (404, 405):
        offered = _offered(address)
        if offered:
            names = ", ".join(offered)
            return CaptureError(
                f"{address.host}:{address.port} has no profile {address.profile}",
                cause="this Go release or build does not offer it",
                next_step=f"choose with --profile: {names}",
            )
        return CaptureError(
            f"there is nothing at {address.shown}",
            cause="the program does not import net/http/pprof, or serves it elsewhere",
            next_step="give the whole address of its heap profile, or heldby PID, which needs no endpoint",
        )
    return CaptureError(
        f"{address.shown} answered {error.code} {said}".rstrip(),
        cause="the server, or a proxy before it, could not serve the profile",
        next_step=f"look at it with: curl -i {address.shown}",
    )


def _offered(address: Address) -> tuple[str, ...]:
    """Return the profiles that the index page lists; none when there is no such page."""
    base = address.shown.rpartition("/")[0] + "/"
    index = Address(
        url=base,
        shown=base,
        host=address.host,
        port=address.port,
        profile="index",
        seconds=0,
        insecure=address.insecure,
        authorization=address.authorization,
    )
    try:
        with _open(index, 5) as answer:
            page = answer.read(_CHUNK)
    except (OSError, HTTPException, ValueError):
        return ()
    return tuple(sorted({name.decode() for name in _OFFERED.findall(page)} - _NO_PROFILES))


def _unreachable(address: Address, error: Exception, seconds: float) -> HeldbyError:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    place = f"{address.host}:{address.port}"
    if isinstance(reason, TimeoutError):
        return CaptureError(
            f"{place} did not answer within {seconds:.0f} s",
            cause="a collection of a large heap, or a busy or unreachable machine",
            next_step="give it more time with --timeout SECONDS",
        )
    if isinstance(reason, ssl.SSLCertVerificationError):
        return CaptureError(
            f"the certificate of {place} is not trusted: {reason.verify_message}",
            cause="it is self-signed, or made out to another name",
            next_step="name the authority with SSL_CERT_FILE=ca.pem, or write https+insecure://",
        )
    if isinstance(reason, ssl.SSLError):
        return CaptureError(
            f"{place} does not speak TLS: {reason.reason or reason}",
            cause="it serves plain HTTP, or a TLS version that is too old",
            next_step="try http://",
        )
    said = reason.strerror if isinstance(reason, OSError) and reason.strerror else str(reason)
    if isinstance(reason, socket.gaierror):
        return CaptureError(
            f"cannot fetch from {place}: {said}",
            cause="the name of the host has no address here",
            next_step="check the name; inside a cluster, forward the port and use 127.0.0.1",
        )
    return CaptureError(
        f"cannot fetch from {place}: {said or type(reason).__name__}",
        cause="nothing listens there, the connection broke, or it wants https://",
        next_step="check host and port; net/http/pprof often listens on 127.0.0.1:6060 only",
    )
