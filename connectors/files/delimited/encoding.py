"""Which lines of a block are not UTF-8."""

from __future__ import annotations

from codecs import utf_8_decode

LIMIT = 100_000


def undecodable(block: bytes) -> list[int]:
    """Offset of the first invalid byte of every line that has one, at most LIMIT of them.

    The loop turns once per offending line: the decoder itself runs to the next offender.
    """
    found: list[int] = []
    rest = memoryview(block)
    position = 0
    while position < len(block) and len(found) < LIMIT:
        try:
            utf_8_decode(rest[position:], "strict", True)
        except UnicodeDecodeError as error:
            place = position + error.start
            found.append(place)
            newline = block.find(b"\n", place)
            if newline < 0:
                break
            position = newline + 1
        else:
            break
    return found
