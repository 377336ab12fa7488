"""What the ``String`` methods of network addresses say: package net/netip, and the addresses of package net.

Sources: net/netip/netip.go, net/ip.go, net/tcpsock.go and its likes (Go 1.21 to 1.27).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Final

from heldby.golang.types import type_scan as scan
from heldby.golang.values.memory import GoMemory

_IN_V6: Final = 0xFFFF  # the bits above an IPv4 address that is written as an IPv6 one
Said = Callable[[GoMemory, int, int], str | None]


def ip_text(data: bytes) -> str:
    """Return what ``net.IP.String`` says of 4 or 16 bytes."""
    address = ipaddress.ip_address(data)
    return str(getattr(address, "ipv4_mapped", None) or address)


def network_address(memory: GoMemory, interface: int, addr: int) -> str | None:
    """Return what ``String`` says of the net.Addr at `addr`; None for one that is not known here."""
    if memory.types.kind[interface] != scan.INTERFACE:
        return None
    number, at = memory.dynamic(addr, interface)
    said = _ADDRESSES.get(memory.types.name(number))
    if said is None:
        return None
    at = memory.image.u64(at)
    return said(memory, memory.pointed(number), at) if at else "<nil>"


def _netip_address(memory: GoMemory, number: int, addr: int) -> str | None:
    """Return a netip.Addr: 128 bits, and ``z``, which says what they mean."""
    bits, means = memory.field(number, "addr"), memory.field(number, "z")
    if bits is None or means is None:
        return None
    high, low = memory.image.unpack("<QQ", addr + bits.offset)
    pointer = memory.image.u64(addr + means.offset)
    if not pointer:
        return "invalid IP"
    found = _meaning(memory, means.type, pointer)
    in_v6 = not high and low >> 32 == _IN_V6
    if found is None:
        return None if in_v6 else _v6_text(high, low, "")
    is_v6, zone = found
    four = str(ipaddress.IPv4Address(low & 0xFFFFFFFF))
    if not is_v6:
        return four
    return f"::ffff:{four}{f'%{zone}' if zone else ''}" if in_v6 else _v6_text(high, low, zone)


def _v6_text(high: int, low: int, zone: str) -> str:
    return f"{ipaddress.IPv6Address(high << 64 | low)}{f'%{zone}' if zone else ''}"


def _meaning(memory: GoMemory, number: int, pointer: int) -> tuple[bool, str] | None:
    """Return whether an address is one of IPv6, and its zone; None if it has no zone and nothing says which it is."""
    handle = memory.field(number, "value")
    if handle is not None:  # unique.Handle[addrDetail], since Go 1.23
        detail = memory.pointed(handle.type)
        is_v6, zone = memory.field(detail, "isV6"), memory.field(detail, "zoneV6")
        if is_v6 is None or zone is None:
            return None
        return memory.image.u8(pointer + is_v6.offset) != 0, memory.text(pointer + zone.offset)
    # *intern.Value up to Go 1.22: of IPv4 and of IPv6 without a zone it is one of two variables' that look alike.
    held = memory.field(memory.pointed(number), "cmpVal")
    if held is None:
        return None
    text, at = memory.dynamic(pointer + held.offset, held.type)
    if text:
        return (True, memory.text(at)) if memory.types.kind[text] == scan.STRING else None
    of_v4 = memory.runtime.symbols.get("net/netip.z4")
    return None if of_v4 is None else (memory.image.u64(of_v4) != pointer, "")


def _netip_with_port(memory: GoMemory, number: int, addr: int) -> str | None:
    ip, port = memory.field(number, "ip"), memory.field(number, "port")
    text = None if ip is None else _netip_address(memory, ip.type, addr + ip.offset)
    if text is None or port is None:
        return None
    if text == "invalid IP":
        return "invalid AddrPort"
    return _with_port(text, memory.image.unpack("<H", addr + port.offset)[0])


def _netip_prefix(memory: GoMemory, number: int, addr: int) -> str | None:
    ip, bits = memory.field(number, "ip"), memory.field(number, "bitsPlusOne")
    text = None if ip is None else _netip_address(memory, ip.type, addr + ip.offset)
    if text is None or bits is None:
        return None
    length = memory.image.u8(addr + bits.offset)
    return f"{text}/{length - 1}" if length else "invalid Prefix"


def _with_port(host: str, port: int) -> str:
    """net.JoinHostPort: a host with colons is an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _host(memory: GoMemory, number: int, addr: int) -> str | None:
    """Return the address and zone of a net.TCPAddr or one of its likes; nothing for an address of no bytes."""
    ip, zone = memory.field(number, "IP"), memory.field(number, "Zone")
    if ip is None or zone is None:
        return None
    data = memory.string(addr + ip.offset)
    if len(data) not in (0, 4, 16):
        return None
    named = memory.text(addr + zone.offset)
    return (ip_text(data) if data else "") + (f"%{named}" if named else "")


def _socket(memory: GoMemory, number: int, addr: int) -> str | None:
    host, port = _host(memory, number, addr), memory.field(number, "Port")
    if host is None or port is None:
        return None
    return _with_port(host, memory.image.unpack("<q", addr + port.offset)[0])


def _unix(memory: GoMemory, number: int, addr: int) -> str | None:
    name = memory.field(number, "Name")
    return None if name is None else memory.text(addr + name.offset)


NETIP_STRUCTS: Final[dict[str, Said]] = {
    "netip.Addr": _netip_address,
    "netip.AddrPort": _netip_with_port,
    "netip.Prefix": _netip_prefix,
}
_ADDRESSES: Final[dict[str, Said]] = {
    "*net.TCPAddr": _socket,
    "*net.UDPAddr": _socket,
    "*net.IPAddr": _host,
    "*net.UnixAddr": _unix,
}
