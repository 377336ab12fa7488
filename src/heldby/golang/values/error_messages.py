"""What ``err.Error()`` says, for the errors of the standard library whose message follows from their fields."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from heldby.errors import NotCaptured
from heldby.golang.types import type_scan as scan
from heldby.golang.values.memory import GoMemory
from heldby.golang.values.network_addresses import network_address

_DEEPEST: Final = 16
_MOST_JOINED: Final = 64
_LAST_ERRNO: Final = 133


def error_message(memory: GoMemory, number: int, addr: int, depth: int = 0) -> str | None:
    """Return the message of the error of concrete type `number` whose value lies at `addr`.

    None when its type is not one of those known here, or a part was not captured: code of the target is not run.
    """
    try:
        return _message(memory, number, addr, depth)
    except NotCaptured:
        return None


def _message(memory: GoMemory, number: int, addr: int, depth: int) -> str | None:
    name = memory.types.name(number)
    if memory.types.kind[number] == scan.POINTER:
        addr, number = memory.image.u64(addr), memory.pointed(number)
        if not addr:
            return None
    if depth > _DEEPEST:
        return None
    said = _ERRORS.get(name)
    return said(memory, number, addr, depth) if said is not None else None


def _text(field: str) -> Callable[[GoMemory, int, int, int], str | None]:
    def said(memory: GoMemory, number: int, addr: int, _depth: int) -> str | None:
        found = memory.field(number, field)
        return memory.text(addr + found.offset) if found is not None else None

    return said


def _joined(template: str, *texts: str, quoted: tuple[str, ...] = ()) -> Callable[..., str | None]:
    """Return a message of string fields and ``Err``, the error inside, as `template` puts them together."""

    def said(memory: GoMemory, number: int, addr: int, depth: int) -> str | None:
        inner = _inner(memory, number, addr, depth)
        words = _words(memory, number, addr, texts)
        if inner is None or words is None:
            return None
        shown = {name: _quoted(word) if name in quoted else word for name, word in words.items()}
        return template.format(**shown, Err=inner) if None not in shown.values() else None

    return said


def _words(memory: GoMemory, number: int, addr: int, fields: tuple[str, ...]) -> dict[str, str] | None:
    """Return string fields by name; None when one of them is not there."""
    found = {name: _text(name)(memory, number, addr, 0) for name in fields}
    words = {name: word for name, word in found.items() if word is not None}
    return words if len(words) == len(fields) else None


def _quoted(text: str | None) -> str | None:
    """Return `text` as Go's %q writes it; None where that takes escapes."""
    if text is None or not text.isprintable():
        return None
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _inner(memory: GoMemory, number: int, addr: int, depth: int) -> str | None:
    found = memory.field(number, "Err")
    return _held(memory, found.type, addr + found.offset, depth) if found is not None else None


def _held(memory: GoMemory, interface: int, addr: int, depth: int) -> str | None:
    """Return the message of the error that the interface at `addr` holds."""
    if memory.types.kind[interface] != scan.INTERFACE:
        return None
    number, at = memory.dynamic(addr, interface)
    return _message(memory, number, at, depth + 1) if number else None


def _several(memory: GoMemory, number: int, addr: int, depth: int) -> str | None:
    """errors/join.go: the messages, a line each."""
    found = memory.field(number, "errs")
    if found is None:
        return None
    data, length = memory.image.unpack("<QQ", addr + found.offset)
    if length > _MOST_JOINED or not memory.is_plausible(data, length * 16):
        return None
    elem = int(memory.types.elem[found.type])
    messages = [_held(memory, elem, data + 16 * index, depth) for index in range(length)]
    return None if None in messages else "\n".join(filter(None, messages))


def _errno(memory: GoMemory, _number: int, addr: int, _depth: int) -> str:
    """syscall/zerrors_linux_amd64.go: the C library's texts, which mkerrors.sh begins with a small letter."""
    number = memory.image.u64(addr)
    if not 0 < number <= _LAST_ERRNO:
        return f"errno {number}"
    text = os.strerror(number)
    return text[0].lower() + text[1:] if text[1:2].islower() else text


def _in_template(template: str, *texts: str) -> Callable[[GoMemory, int, int, int], str | None]:
    """Return a message of string fields alone."""

    def said(memory: GoMemory, number: int, addr: int, _depth: int) -> str | None:
        words = _words(memory, number, addr, texts)
        return template.format(**words) if words is not None else None

    return said


def _string_after(prefix: str) -> Callable[[GoMemory, int, int, int], str | None]:
    """Return the message of an error that is a string."""
    return lambda memory, _number, addr, _depth: prefix + memory.text(addr)


def _network_operation(memory: GoMemory, number: int, addr: int, depth: int) -> str | None:
    """net/net.go, OpError: ``dial tcp 10.0.0.1:80->10.0.0.2:443: ...``; either address may be nil."""
    words = _words(memory, number, addr, ("Op", "Net"))
    inner = _inner(memory, number, addr, depth)
    if words is None or inner is None:
        return None
    said, lead = words["Op"] + (f" {words['Net']}" if words["Net"] else ""), " "
    for name in ("Source", "Addr"):
        end = memory.field(number, name)
        if end is None:
            return None
        if not memory.image.u64(addr + end.offset):
            continue
        text = network_address(memory, end.type, addr + end.offset)
        if text is None:
            return None
        said, lead = said + lead + text, "->"
    return f"{said}: {inner}"


def _lookup(memory: GoMemory, number: int, addr: int, _depth: int) -> str | None:
    """net/net.go, DNSError."""
    words = _words(memory, number, addr, ("Name", "Server", "Err"))
    if words is None:
        return None
    server = f" on {words['Server']}" if words["Server"] else ""
    return f"lookup {words['Name']}{server}: {words['Err']}"


def _bad_address(memory: GoMemory, number: int, addr: int, _depth: int) -> str | None:
    """net/net.go, AddrError."""
    words = _words(memory, number, addr, ("Err", "Addr"))
    if words is None:
        return None
    return f"address {words['Addr']}: {words['Err']}" if words["Addr"] else words["Err"]


def _says(text: str) -> Callable[[GoMemory, int, int, int], str | None]:
    return lambda _memory, _number, _addr, _depth: text


_ERRORS: Final[dict[str, Callable[[GoMemory, int, int, int], str | None]]] = {
    "*errors.errorString": _text("s"),
    "*fmt.wrapError": _text("msg"),
    "*fmt.wrapErrors": _text("msg"),
    "*errors.joinError": _several,
    "*fs.PathError": _joined("{Op} {Path}: {Err}", "Op", "Path"),
    "*os.PathError": _joined("{Op} {Path}: {Err}", "Op", "Path"),
    "*os.LinkError": _joined("{Op} {Old} {New}: {Err}", "Op", "Old", "New"),
    "*os.SyscallError": _joined("{Syscall}: {Err}", "Syscall"),
    "*url.Error": _joined("{Op} {URL}: {Err}", "Op", "URL", quoted=("URL",)),
    "*exec.Error": _joined("exec: {Name}: {Err}", "Name", quoted=("Name",)),
    "*strconv.NumError": _joined("strconv.{Func}: parsing {Num}: {Err}", "Func", "Num", quoted=("Num",)),
    "*json.SyntaxError": _text("msg"),
    "*net.OpError": _network_operation,
    "*net.DNSError": _lookup,
    "*net.AddrError": _bad_address,
    "*net.ParseError": _in_template("invalid {Type}: {Text}", "Type", "Text"),
    "*net.DNSConfigError": _joined("error reading DNS config: {Err}"),
    "*net.notFoundError": _text("s"),
    "*net.temporaryError": _text("s"),
    "*net.timeoutError": _says("i/o timeout"),
    "net.canceledError": _says("operation was canceled"),
    "net.InvalidAddrError": _string_after(""),
    "net.UnknownNetworkError": _string_after("unknown network "),
    "*poll.DeadlineExceededError": _says("i/o timeout"),
    "poll.errNetClosing": _says("use of closed network connection"),
    "context.deadlineExceededError": _says("context deadline exceeded"),
    "syscall.Errno": _errno,
    "runtime.plainError": _string_after(""),
}
