"""Misplaced quotes, and the records of a block that has some.

By RFC 4180 a quote opens a quoted field only as its first character; within the field a doubled quote means one;
the closing quote is followed by a delimiter or the end of the record. Any other quote is stray: its record is rejected
and ends with its line. A record whose quoted field is never closed, or closed where no field may end, also ends with
its line: it costs one line, not all lines up to the next quote.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headrace.connectors.files.delimited.structure import (
    BITS,
    NEWLINE,
    NO_POSITIONS,
    RETURN,
    Bytes,
    Marks,
    Words,
    bits_of,
    places,
    shifted,
    shifted_back,
    view,
)

Flags = npt.NDArray[np.bool_]


def has_misplaced_quotes(
    block: bytes, quotes: Words, parity: Words, newlines: Words, delimiters: Words, marks: Marks, *, final: bool
) -> bool:
    """Whether any quote of a block is in a place where parity does not distinguish inside from outside.

    An opening quote must follow a delimiter, a line end or another quote (a doubled one); a closing quote must precede
    a delimiter, the end of the line or another quote.
    """
    data = view(block)
    edges = delimiters | newlines | quotes
    if (quotes & parity & ~shifted(edges, 1)).any():
        return True
    if marks.eol == NEWLINE and RETURN in block:
        edges |= bits_of(data, RETURN) & shifted_back(newlines)
    follows = shifted_back(edges)
    if data[-1] == marks.quote or (not final and len(data) > 1 and data[-1] == RETURN and data[-2] == marks.quote):
        last = len(data) - (1 if data[-1] == marks.quote else 2)  # what follows the last quote is unknown yet
        follows[last // 64] |= np.uint64(1 << (last % 64))
    return bool((quotes & ~parity & ~follows).any())


@dataclass(frozen=True, slots=True)
class ResolvedQuotes:
    """Fields as in Structure."""

    ends: Words
    inside: Words
    stray: BITS
    unclosed: BITS
    whole: int


@dataclass(frozen=True, slots=True)
class _Runs:
    """Runs of adjacent quotes: where they begin and end (exclusive), and their lines."""

    first: BITS
    end: BITS
    odd: Flags
    begins_field: Flags
    ends_field: Flags
    unseen: Flags
    """The bytes after them are not known yet."""
    line: BITS


def resolve_quotes(data: Bytes, quotes: Words, marks: Marks, *, final: bool, limit: int | None) -> ResolvedQuotes:
    """The records of a block with misplaced quotes. Lines are classified one by one, vectorised; a Python loop only
    follows quoted fields across lines."""
    length = len(data)
    eols = places(bits_of(data, marks.eol), length)
    starts = np.concatenate(([0], eols + 1))  # of the lines; the last may be empty
    lines = len(starts)
    runs = _runs(data, places(quotes, length), eols, marks, final=final)
    reset, toggle = runs.odd & ~runs.begins_field, runs.odd & runs.begins_field
    line_first = np.ones(len(runs.line), dtype=bool)
    line_first[1:] = runs.line[1:] != runs.line[:-1]
    line_last = np.ones(len(runs.line), dtype=bool)
    line_last[:-1] = line_first[1:]
    odd = np.flatnonzero(runs.odd)
    first_odd = odd[np.concatenate(([True], runs.line[odd][1:] != runs.line[odd][:-1]))] if len(odd) else odd
    # Whether each line ends inside quotes if it begins outside them, and if it begins inside (and has an odd run).
    ended_out, ended_in = np.zeros(lines, dtype=bool), np.ones(lines, dtype=bool)
    plain = np.zeros(lines, dtype=bool)
    ended_out[runs.line[line_last]] = _inside_at_end(toggle, reset, line_first, plain, runs.line)[line_last]
    closing = reset.copy()
    closing[first_odd] = True
    ended_in[runs.line[line_last]] = _inside_at_end(toggle, closing, line_first, plain, runs.line)[line_last]
    odd_lines = runs.line[first_odd].tolist()
    closes_well, unseen = runs.ends_field[first_odd].tolist(), runs.unseen[first_odd].tolist()

    begun_inside = np.zeros(lines, dtype=bool)
    unclosed_lines: list[int] = []
    whole, position = length if final else int(starts[-1]), 0
    still_in = ended_in.tolist()
    full = limit is not None and length >= limit
    for line in np.flatnonzero(ended_out).tolist():
        if line < position:
            continue
        at, found = line, None
        while found is None:
            turn = bisect_right(odd_lines, at)
            if turn == len(odd_lines) or unseen[turn] or (not final and odd_lines[turn] == lines - 1):
                found = final or (full and (position == line == 0 or starts[line] == 0))
                if not found:
                    whole = int(starts[line])
                break
            at = odd_lines[turn]
            if not closes_well[turn]:
                found = True
            elif not still_in[at]:
                begun_inside[line + 1 : at + 1] = True
                position = at + 1
                break
        if found is False:
            break
        if found:
            unclosed_lines.append(line)
    return _resolve(data, runs, eols, starts, begun_inside, np.array(unclosed_lines, dtype=np.int64), whole, first_odd)


def _runs(data: Bytes, quotes: BITS, eols: BITS, marks: Marks, *, final: bool) -> _Runs:
    length = len(data)
    apart = np.diff(quotes) > 1
    first = quotes[np.concatenate(([True], apart))]
    end = quotes[np.concatenate((apart, [True]))] + 1
    before = data[np.maximum(first - 1, 0)]
    next_byte = data[np.minimum(end, length - 1)]
    next_but_one = data[np.minimum(end + 1, length - 1)]
    at_end = end == length
    ends_field = at_end | (next_byte == marks.delimiter) | (next_byte == marks.eol)
    unseen = at_end & (not final)
    if marks.eol == NEWLINE:
        last_return = (next_byte == RETURN) & (end == length - 1)
        ends_field |= (next_byte == RETURN) & ((next_but_one == NEWLINE) | last_return)
        unseen |= last_return & (not final)
    return _Runs(
        first,
        end,
        ((end - first) & 1).astype(bool),
        (first == 0) | (before == marks.delimiter) | (before == marks.eol),
        ends_field,
        unseen,
        np.searchsorted(eols, first),
    )


def _inside_at_end(toggle: Flags, reset: Flags, line_first: Flags, begun_inside: Flags, line: BITS) -> Flags:
    """Whether the text after each run is inside quotes. Toggles are counted from the last run that certainly closes,
    else from the begin of the line."""
    toggles: BITS = np.cumsum(toggle)
    begin: BITS = toggles - toggle.astype(np.int64) - begun_inside[line].astype(np.int64)
    base = np.where(reset, toggles, begin)
    latest = np.maximum.accumulate(np.where(reset | line_first, np.arange(len(toggle)), 0))
    parity: BITS = (toggles - base[latest]) & 1
    odd: Flags = parity == 1
    return odd


def _resolve(
    data: Bytes,
    runs: _Runs,
    eols: BITS,
    starts: BITS,
    begun_inside: Flags,
    unclosed_lines: BITS,
    whole: int,
    first_odd: BITS,
) -> ResolvedQuotes:
    """The role of every quote, once it is known which lines begin inside a quoted field."""
    length = len(data)
    toggle, reset = runs.odd & runs.begins_field, runs.odd & ~runs.begins_field
    reset[first_odd[begun_inside[runs.line[first_odd]]]] = True
    line_first = np.ones(len(runs.line), dtype=bool)
    line_first[1:] = runs.line[1:] != runs.line[:-1]
    after = _inside_at_end(toggle, reset, line_first, begun_inside, runs.line)
    before = np.empty_like(after)
    before[1:] = after[:-1]
    before[line_first] = begun_inside[runs.line[line_first]]
    opens = ~before & runs.begins_field
    closes = (before & runs.odd) | (opens & ~runs.odd)
    stray = runs.first[(~before & ~runs.begins_field) | (closes & ~runs.ends_field)]
    begin, end = runs.first[opens], runs.end[closes] - 1
    unclosed = NO_POSITIONS
    if len(unclosed_lines):
        # The last quote that opens a field on such a line is the one that is never closed.
        last = np.searchsorted(runs.line[opens], unclosed_lines, side="right") - 1
        unclosed = begin[last]
        line_ends = np.concatenate((eols, [length]))[unclosed_lines]
        end = np.sort(np.concatenate((end, line_ends)))
    change = np.zeros(length + 1, dtype=np.int8)
    np.add.at(change, begin, 1)
    np.add.at(change, end, -1)
    inside = np.cumsum(change[:length], dtype=np.int8) > 0
    ending = np.zeros(length, dtype=bool)
    ending[eols] = ~begun_inside[1:]
    ending[whole:] = False
    stray, unclosed = stray[stray < whole], unclosed[unclosed < whole]
    return ResolvedQuotes(_packed(ending), _packed(inside), stray, unclosed, whole)


def _packed(flags: Flags) -> Words:
    words = np.zeros((len(flags) + 63) // 64, dtype=np.uint64)
    packed = np.packbits(flags, bitorder="little")
    words.view(np.uint8)[: len(packed)] = packed
    return words
