"""Fragments in AX.25 frames, and those on the way to a radio controller (docs/protocol.md §15).

Theory of operation: sans-IO. A fragment is the information of one unnumbered frame (UI, "no layer
three") from one call sign to another, as radio amateurs' packets are. The controller (TNC) takes
and gives frames in the framing of KISS: between FENDs, escaped, behind a byte that says port and
command. Whatever is not a frame from the other station to ours is dropped before anything of it is
kept: packets of others, our own when they are heard back, noise. Sockets and how long a frame takes
must not live here.

The layouts are those of AX.25 2.2 (Tucson Amateur Packet Radio, 1998) and of "The KISS TNC"
(Chepponis and Karn, 1987).
"""

from __future__ import annotations

from .delimited import Delimited

FEND, FESC, TFEND, TFESC = b"\xc0", b"\xdb", b"\xdc", b"\xdd"

_ESCAPED = {TFEND: FEND, TFESC: FESC}

DATA, TX_DELAY = 0x00, 0x01
"""Commands of KISS, for port 0: a frame to send; keying-up time in hundredths of a second."""

INFORMATION_BYTES_MAX = 256
HEADER_BYTES = 16
"""Both addresses, control and protocol; before the information of our frames."""

_ADDRESS_BYTES = 7
_ADDRESSES_MAX = 10
"""Of a frame that is repeated by others on its way: it names eight of them at most."""
_FRAME_BYTES_MAX = _ADDRESSES_MAX * _ADDRESS_BYTES + 2 + INFORMATION_BYTES_MAX
_CONTROL = b"\x03\xf0"
_COMMAND, _RESERVED, _LAST = 0x80, 0x60, 0x01
_NAMED = bytes([0xFE] * 6 + [0x1E])
"""Which bits of an address say whose it is."""


def _address(call: str, bits: int) -> bytes:
    name, _, number = call.partition("-")
    letters = bytes(ord(letter) << 1 for letter in name.upper().ljust(6))
    return letters + bytes([bits | _RESERVED | int(number or "0") << 1])


def _named(address: bytes) -> bytes:
    return bytes(byte & mask for byte, mask in zip(address, _NAMED, strict=True))


class Stations:
    """Two stations, ours and the other: what goes between them on the air."""

    def __init__(self, own: str, other: str) -> None:
        """Call signs: one to six capital letters and digits, and a number of 1 to 15 behind a
        hyphen if there is one: "N0CALL-1"."""
        self._header = _address(other, _COMMAND) + _address(own, _LAST) + _CONTROL
        self._own, self._other = _named(_address(own, 0)), _named(_address(other, 0))

    def wrap(self, fragment: bytes) -> bytes:
        """The frame that takes a fragment (at most INFORMATION_BYTES_MAX) to the other station."""
        return self._header + fragment

    def unwrap(self, frame: bytes) -> bytes | None:
        """The fragment in a frame from the other station to ours; None for any other frame."""
        if len(frame) < HEADER_BYTES or _named(frame[:7]) != self._own:
            return None
        if _named(frame[7:14]) != self._other:
            return None
        end = 2 * _ADDRESS_BYTES
        while not frame[end - 1] & _LAST:
            end += _ADDRESS_BYTES
            if end > min(len(frame), _ADDRESSES_MAX * _ADDRESS_BYTES):
                return None
        control, fragment = frame[end : end + len(_CONTROL)], frame[end + len(_CONTROL) :]
        return fragment if control == _CONTROL and fragment else None


def framed(content: bytes, command: int = DATA) -> bytes:
    """A command to the controller, as its bytes on the connection."""
    plain = bytes([command]) + content
    return FEND + plain.replace(FESC, FESC + TFESC).replace(FEND, FESC + TFEND) + FEND


class Unframing(Delimited):
    """What comes from the controller: the frames heard on port 0."""

    def __init__(self) -> None:
        super().__init__(FEND, 2 * (1 + _FRAME_BYTES_MAX), _unescaped)


def _unescaped(escaped: bytes) -> bytes | None:
    """The frame, or None if it is too long, wrongly escaped, or no frame of port 0."""
    if escaped[:1] != bytes([DATA]):
        return None
    first, *others = escaped[1:].split(FESC)
    out = bytearray(first)
    for piece in others:
        if piece[:1] not in _ESCAPED:
            return None
        out += _ESCAPED[piece[:1]] + piece[1:]
    return bytes(out) if 0 < len(out) <= _FRAME_BYTES_MAX else None
