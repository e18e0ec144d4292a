"""Frames: how the journal's entries lie on disk, one after another.

A frame is a header (magic, length, CRC-32, sequence number) and a JSON object. Numbers grow by one
from frame to frame for the life of a slot, whatever segment they stand in: what an earlier use left
behind the last frame of a segment has a smaller number and is told from it.

Reading goes on to the first bad frame. Good frames of later numbers behind it are corruption, not a
torn tail: what can be read is used all the same, for a `begin` that is not believed is an
attachment that is lost, while one too many costs an idempotent DEL.

Texts that must survive as they are, a record or a result, stand in the object as JSON strings.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from attrs import frozen

from acni.spec.jsontext import is_object

_MAGIC: Final = b"\xacni1"
# magic, length of the object, CRC-32 over number and object, number
_HEADER: Final = struct.Struct("<4sIIQ")
_NUMBER: Final = struct.Struct("<Q")
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"))

# So that the next one can be written whatever stands in a file; nobody gets there by counting.
_LAST_NUMBER: Final = (1 << 63) - 1

# A hostile file of nothing but magics must not cost its size squared.
_MAX_CHECKED: Final = 4


@frozen
class Frame:
    """One entry.

    Attributes:
        number: Its sequence number.
        facts: Its object.
    """

    number: int
    facts: Mapping[str, Any]


@frozen
class Reading:
    """What a segment holds.

    Attributes:
        frames: Its good frames, numbers growing.
        end: Where the next one is written: behind the last good one.
        damage: The number of the last frame that stands right behind a bad one; 0 where none does.
    """

    frames: tuple[Frame, ...]
    end: int
    damage: int = 0


def encode(number: int, facts: Mapping[str, object]) -> bytes:
    """Write a frame."""
    body = _ENCODER.encode(facts).encode()
    return _HEADER.pack(_MAGIC, len(body), _checksum(number, body), number) + body


def read_frames(data: bytes) -> Reading:
    """Read a segment; whatever stands in it, this succeeds."""
    frames: list[Frame] = []
    end = offset = damage = 0
    budget = _MAX_CHECKED * len(data)
    while offset >= 0 and budget > 0:
        least = frames[-1].number + 1 if frames else 0
        run = list(_frames_from(data, offset, least=least))
        if run and offset > 0:
            damage = run[0][0].number
        frames += (frame for frame, _ in run)
        end = run[-1][1] if run else end
        budget -= max(run[-1][1] - offset if run else 0, _claimed_length(data, offset))
        offset = data.find(_MAGIC, run[-1][1] if run else offset + 1)
    return Reading(tuple(frames), end, damage)


def frames_after(data: bytes, last: int) -> tuple[tuple[Frame, ...], int]:
    """Read the frames that follow one with the number ``last``: those in a row from the beginning
    on; whatever else stands there is older, or torn.

    Returns:
        The frames, and where they end.
    """
    found = list(_frames_from(data, 0, least=last + 1))
    return tuple(frame for frame, _ in found), found[-1][1] if found else 0


def begins_later_frame(data: bytes, last: int) -> bool:
    """Tell whether a frame with a number above ``last`` begins there, whole or not."""
    if len(data) < _HEADER.size:
        return False
    magic, _, _, number = _HEADER.unpack_from(data, 0)
    return bool(magic == _MAGIC and last < number <= _LAST_NUMBER)


def _frames_from(data: bytes, offset: int, least: int) -> Iterator[tuple[Frame, int]]:
    """Read frames in a row, the first numbered ``least`` or later, each with where it ends."""
    while (frame := _frame_at(data, offset)) is not None:
        number, facts, offset = frame
        if number < least:
            return
        yield Frame(number, facts), offset
        least = number + 1


def _frame_at(data: bytes, offset: int) -> tuple[int, dict[str, Any], int] | None:
    if offset + _HEADER.size > len(data):
        return None
    magic, length, checksum, number = _HEADER.unpack_from(data, offset)
    begin = offset + _HEADER.size
    body = data[begin : begin + length]
    if magic != _MAGIC or len(body) != length or _checksum(number, body) != checksum:
        return None
    if number > _LAST_NUMBER:
        return None
    try:
        facts = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return (number, facts, begin + length) if is_object(facts) else None


def _claimed_length(data: bytes, offset: int) -> int:
    if offset + _HEADER.size > len(data):
        return _HEADER.size
    length: int = _HEADER.unpack_from(data, offset)[1]
    return min(length, len(data) - offset)


def _checksum(number: int, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(_NUMBER.pack(number)))
