"""The encodings that a file may have, and the lines of a block that are invalid in it.

Files in other encodings are transcoded to UTF-8. A byte that is invalid in the file's encoding becomes a lone
surrogate, which is invalid UTF-8: so all invalid lines are found the same way.
"""

from __future__ import annotations

import codecs
from codecs import utf_8_decode

import numpy as np
import polars as pl
import pyarrow as pa
from polars.exceptions import PolarsError

from headrace.connectors.errors import SourceError
from headrace.connectors.files.delimited.structure import NEWLINE

_KNOWN = """
    utf-8 utf-8-sig ascii utf-16 utf-16-le utf-16-be utf-32 utf-32-le utf-32-be
    iso8859-1 iso8859-2 iso8859-3 iso8859-4 iso8859-5 iso8859-6 iso8859-7 iso8859-8 iso8859-9 iso8859-10 iso8859-11
    iso8859-13 iso8859-14 iso8859-15 iso8859-16
    cp1250 cp1251 cp1252 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258 cp874 cp125
    cp037 cp273 cp424 cp437 cp500 cp720 cp737 cp775 cp850 cp852 cp855 cp856 cp857 cp858 cp860 cp861 cp862 cp863 cp864
    cp865 cp866 cp869 cp875 cp932 cp949 cp950 cp1006 cp1026 cp1125 cp1140
    koi8-r koi8-t koi8-u kz1048 ptcp154 tis-620 hp-roman8
    mac-arabic mac-croatian mac-cyrillic mac-farsi mac-greek mac-iceland mac-latin2 mac-roman mac-romanian mac-turkish
    big5 big5hkscs euc_jp euc_jis_2004 euc_jisx0213 euc_kr gb18030 gb2312 gbk johab
    shift_jis shift_jis_2004 shift_jisx0213 iso2022_jp iso2022_jp_1 iso2022_jp_2 iso2022_jp_3 iso2022_jp_ext
    iso2022_jp_2004 iso2022_kr
"""

LIMIT = 100_000
_WINDOW = 4096
"""Bytes; more than a character has."""
_MARK = "headrace-mark"
_SURROGATE = b"\xed"
"""The first byte of a lone surrogate in UTF-8-like form."""


def text_encoding(name: str) -> str:
    """Python's name of an encoding for text files. Raises SourceError(`unknown_encoding`), also for Python codecs that
    are not encodings of files (`rot13`, `base64`, `zip`, `idna`, `unicode_escape`, `utf-7`)."""
    try:
        found = codecs.lookup(name).name
    except (LookupError, ValueError):
        found = ""
    if found not in TEXT_ENCODINGS:
        raise SourceError(
            "unknown_encoding",
            f"'{name}' is not a text encoding.",
            "Set options.encoding to a name such as utf-8, utf-16, latin-1 or cp1252.",
        )
    return found


def _found(names: str) -> frozenset[str]:
    found = set()
    for name in names.split():
        try:
            found.add(codecs.lookup(name).name)
        except LookupError:  # not in this build of Python
            continue
    return frozenset(found)


TEXT_ENCODINGS = _found(_KNOWN)


def decoder(encoding: str) -> codecs.IncrementalDecoder:
    """A decoder that replaces invalid bytes by lone surrogates."""
    return codecs.getincrementaldecoder(encoding)(_MARK)


def _marked(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return chr(0xDC00 + error.object[error.start]), error.end


codecs.register_error(_MARK, _marked)


def byte_in_file(block: bytes, place: int, encoding: str) -> tuple[str, int]:
    """(encoding, invalid byte) as in the file, for an offset that `invalid_offsets` found."""
    if block[place : place + 1] == _SURROGATE and utf8_name(encoding) is not None:
        return encoding, ord(block[place : place + 3].decode("utf-8", "surrogatepass")) - 0xDC00
    return "UTF-8", block[place]


def utf8_name(encoding: str) -> str | None:
    """The codec's name, or None if the file is UTF-8 (or ASCII) and can be read in place. Raises SourceError."""
    name = text_encoding(encoding)
    return None if name in ("utf-8", "utf-8-sig", "ascii") else name


def is_utf8(block: bytes) -> bool:
    """Whether all bytes are valid UTF-8, eight times faster than by decoding them."""
    bounds = pa.py_buffer(np.array([0, len(block)], dtype=np.int64))
    whole = pl.from_arrow(pa.LargeBinaryArray.from_buffers(pa.large_binary(), 1, [None, bounds, pa.py_buffer(block)]))
    assert isinstance(whole, pl.Series)
    try:
        whole.cast(pl.String)
    except PolarsError:
        return False
    return True


def invalid_offsets(block: bytes, eol: int = NEWLINE) -> list[int]:
    """The offset of the first invalid byte of every line that has one, at most LIMIT of them. `eol` ends a line.

    The loop runs once per such line: the decoder itself skips to the next invalid byte. After one it is given a little
    at first, then more: it makes room for all that it is given, which the next invalid byte may make useless.
    """
    found: list[int] = []
    rest = memoryview(block)
    position, window = 0, len(block)
    while position < len(block) and len(found) < LIMIT:
        last = position + window >= len(block)
        try:
            _, used = utf_8_decode(rest[position : position + window], "strict", last)
        except UnicodeDecodeError as error:
            place = position + error.start
            found.append(place)
            end = block.find(eol, place)
            if end < 0:
                break
            position, window = end + 1, _WINDOW
        else:
            if last:
                break
            position, window = position + used, window * 2
    return found
