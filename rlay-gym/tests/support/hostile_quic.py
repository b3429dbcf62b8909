"""Hostile datagrams on a QUIC port.

Plain Python has no AES, and so cannot make a packet that QUIC takes for more than noise. What is sent here are
datagrams that are no packets, packets with a header that lies, packets that cannot be decrypted, and the first
datagram of real dialers: sent again, cut, altered, or followed by noise or by nothing. All that ends within QUIC's own
handshake, or leaves a handshake waiting that never ends. What follows a handshake (a peer that completes TLS and then
speaks no RLay) is not covered; over other transports that is the same code.
"""

from __future__ import annotations

import socket
import struct
from functools import partial

from hostile import NOISE, PATIENCE, Attack

VERSION_1 = 1
FULL = 1200
"""What the first datagram of a dialer must have at least."""
INITIAL, ZERO_RTT, HANDSHAKE, RETRY = (0xC0 | kind << 4 for kind in range(4))
"""First bytes of packets with a long header."""


def long(first: int, version: int, to: bytes = NOISE[:8], by: bytes = NOISE[8:16], rest: bytes = b"") -> bytes:
    """A packet with a long header."""
    return struct.pack(">BIB", first, version, len(to)) + to + struct.pack("B", len(by)) + by + rest


def initial(rest: bytes, **header: bytes) -> bytes:
    """A packet that says it is the first of a dialer, filled with noise."""
    return (long(INITIAL, VERSION_1, **header) + rest + NOISE)[:FULL]


LENGTH = struct.pack(">H", 0x4000 | FULL - 26)
"""The length of the rest of `initial`, behind an empty token."""

DATAGRAMS: dict[str, list[bytes]] = {
    "nothing": [b""],
    "a byte of zero": [b"\0"],
    **{f"a byte, {byte:#x}": [bytes([byte])] for byte in (0x40, 0x7F, 0x80, 0xC0, 0xD0, 0xE0, 0xF0, 0xFF)},
    **{f"{n} bytes of zero": [bytes(n)] for n in (5, 20, 21, 100, FULL, 1472, 9000, 60_000, 65_507)},
    **{f"{n} bytes of ones": [b"\xff" * n] for n in (5, 20, 21, 100, FULL, 1472, 65_507)},
    **{f"{n} bytes of noise": [NOISE[:n]] for n in (5, 21, 100, FULL, 1472, 65_507)},
    **{f"noise number {n}": [NOISE[n * FULL :][:FULL]] for n in range(1, 9)},
    "HTTP": [b"GET / HTTP/1.1\r\n\r\n"],
    "DNS": [bytes.fromhex("abcd01000001000000000000") + b"\7example\3com\0" + bytes.fromhex("00010001")],
    "DTLS": [bytes.fromhex("16fefd0000000000000000") + NOISE[:200]],
    "Hello without QUIC": [struct.pack("<I", 73) + b"\1" + bytes(31) + b"RLAY" + bytes(37)],
    **{
        f"a long header of version {version:#x}": [(long(INITIAL, version) + NOISE)[:FULL]]
        for version in (0, 2, 0x6B3343CF, 0xFF00001D, 0x1A2A3A4A, 0xFFFFFFFF)
    },
    "a version nobody knows, in a short datagram": [long(INITIAL, 0x1A2A3A4A)],
    "versions to choose from": [long(0x80, 0, rest=struct.pack(">III", 1, 2, 0xFF00001D))],
    "no versions to choose from": [long(0x80, 0)],
    "half a version to choose from": [long(0x80, 0, rest=b"\0\0")],
    "a first packet of noise": [initial(b"\0" + LENGTH)],
    "a first packet of noise, in a short datagram": [initial(b"\0" + LENGTH)[: FULL - 1]],
    "a first packet of zeros": [long(INITIAL, VERSION_1, rest=b"\0" + LENGTH).ljust(FULL, b"\0")],
    "a first packet without the fixed bit": [b"\x80" + initial(b"\0" + LENGTH)[1:]],
    "a first packet with reserved bits": [b"\xcf" + initial(b"\0" + LENGTH)[1:]],
    "a first packet for nobody": [initial(b"\0" + LENGTH, to=b"")],
    "a first packet for a name of 7 bytes": [initial(b"\0" + LENGTH, to=NOISE[:7])],
    "a first packet by nobody": [initial(b"\0" + LENGTH, by=b"")],
    "a first packet for a name of 20 bytes": [initial(b"\0" + LENGTH, to=NOISE[:20], by=NOISE[:20])],
    "a first packet for a name of 21 bytes": [initial(b"\0" + LENGTH, to=NOISE[:21])],
    "a first packet for a name of 255 bytes": [initial(b"\0" + LENGTH, to=NOISE[:255])],
    "a first packet by a name of 255 bytes": [initial(b"\0" + LENGTH, by=NOISE[:255])],
    "a first packet whose names run out": [long(INITIAL, VERSION_1)[:10]],
    "a first packet with a token": [initial(b"\x20" + NOISE[:32] + LENGTH)],
    "a first packet with a token of a gigabyte": [initial(b"\xc0\0\0\0\x40\0\0\0")],
    "a first packet with a token of 2^62 bytes": [initial(b"\xff" * 8)],
    "a first packet of no length": [initial(b"\0\0")],
    "a first packet of length 1": [initial(b"\0\1")],
    "a first packet of a byte too much": [initial(b"\0" + struct.pack(">H", 0x4000 | FULL))],
    "a first packet of 2^62 bytes": [initial(b"\0" + b"\xff" * 8)],
    "a first packet without the rest": [long(INITIAL, VERSION_1, rest=b"\0" + LENGTH)],
    "a thousand first packets in one": [(long(INITIAL, VERSION_1, rest=b"\0\x14" + NOISE[:20]) * 1000)[:65_000]],
    "data before a handshake": [(long(ZERO_RTT, VERSION_1, rest=LENGTH) + NOISE)[:FULL]],
    "a handshake without a beginning": [(long(HANDSHAKE, VERSION_1, rest=LENGTH) + NOISE)[:FULL]],
    "a retry, which only listeners send": [long(RETRY, VERSION_1, rest=NOISE[:64])],
    "a retry without a tag": [long(RETRY, VERSION_1)],
    "a short header": [b"\x40" + NOISE[:40]],
    "a short header that fills a datagram": [b"\x40" + NOISE[:1400]],
    "a reset of what never was": [b"\x5f" + NOISE[:42]],
    "a hundred short headers": [b"\x40" + NOISE[n : n + 50] for n in range(100)],
    "a hundred first packets": [initial(b"\0" + LENGTH, to=NOISE[n : n + 8]) for n in range(100)],
}  # fmt: skip


def changed(datagram: bytes, at: int, by: int = 0x01) -> bytes:
    """The datagram with some bits flipped."""
    return datagram[:at] + bytes([datagram[at] ^ by]) + datagram[at + 1 :]


def repeated(first: bytes) -> dict[str, list[bytes]]:
    """The hostile variants of a dialer's first datagram."""
    to = first[6 : 6 + first[5]]
    lost = [(long(kind, VERSION_1, to=to, rest=LENGTH) + NOISE)[:FULL] for kind in (INITIAL, HANDSHAKE, ZERO_RTT)]
    return {
        "a dialer's first datagram a hundred times": [first] * 100,
        "a dialer's first datagram, a byte short": [first[:-1]],
        "half of a dialer's first datagram": [first[: len(first) // 2]],
        "the header of a dialer's first datagram": [first[:40]],
        "a dialer's first datagram and zeros": [first + bytes(200)],
        "a dialer's first datagram twice in one": [first * 2],
        "a dialer's first datagram and noise": [first, *(NOISE[n * 99 :][:FULL] for n in range(20))],
        "a dialer's first datagram, then noise for the same connection": [
            first,
            *lost,
            *(b"\x40" + to + NOISE[n:][:60] for n in range(20)),
        ],
        **{
            f"a dialer's first datagram, other at byte {at}": [changed(first, at)]
            for at in (1, 4, 5, 6, 13, 14, 18, 26, 40, 600, 1100)
        },
        "a dialer's first datagram as a handshake": [changed(first, 0, INITIAL ^ HANDSHAKE)],
        "a dialer's first datagram as a retry": [changed(first, 0, INITIAL ^ RETRY)],
        "a dialer's first datagram without the fixed bit": [changed(first, 0, 0x40)],
    }


def plug(address: str) -> socket.socket:
    """Return a socket for datagrams to the listener at that address."""
    host, port = address.removeprefix("quic://").split("?")[0].split(":")
    connection = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    connection.settimeout(PATIENCE)
    connection.connect((host, int(port)))
    return connection


def send(datagrams: list[bytes], address: str) -> None:
    """Send datagrams from a port of their own, and read no answer."""
    with plug(address) as connection:
        for datagram in datagrams:
            connection.send(datagram)


def begin(first: bytes, address: str) -> None:
    """Begin as a dialer does, and send nothing after the answer."""
    with plug(address) as connection:
        connection.send(first)
        assert connection.recv(FULL * 2)


def attacks(firsts: list[bytes]) -> tuple[list[Attack], list[Attack]]:
    """What is over at once, and what the host waits for. Made of the first datagrams of so many dialers."""
    quick = DATAGRAMS | repeated(firsts[0])
    return (
        [(name, partial(send, datagrams)) for name, datagrams in quick.items()],
        [(f"a beginning, number {n}", partial(begin, first)) for n, first in enumerate(firsts[1:], 1)],
    )
