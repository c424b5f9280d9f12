"""Change events as rows: the operation, where it is in the log, and the texts of the columns.

An update of a key is two events, a delete of the old key and a creation of the new one, so that whoever applies events
by key needs no other rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from headrace.connectors.errors import SourceError
from headrace.connectors.sql.postgresql.changes.pgoutput import Changes, Ints, Mask, Piece, Tuples

OP, PLACE, SUB, TRANSACTION, SEQUENCE = "#op", "#place", "#sub", "#transaction", "#sequence"
"""Columns besides those of the table: the operation, the number of the message in its piece, 0 or 1 of the two events
of one message, the number of the transaction in its piece, and a number that grows with the events of a transaction."""


def unchanged(column: str) -> str:
    """The name of the column (Boolean) that says whether a value is missing because an update left it unchanged."""
    return f"#unchanged {column}"


def events_of(piece: Piece, columns: Sequence[str], key: Sequence[str]) -> pl.DataFrame:
    """The events of a piece in their order, with these columns of the table as texts. `key` is what identifies a row.
    Raises SourceError(`no_identity`, `bad_encoding`)."""
    schema = {OP: pl.String, PLACE: pl.Int64, SUB: pl.Int8, **dict.fromkeys(columns, pl.String)}
    frames = [pl.DataFrame(schema=schema)]
    try:
        for changes in piece.changes:
            frames += _events(piece, changes, columns, key)
    except PolarsError as error:
        text = f"A change has text that is not in UTF-8: {str(error).splitlines()[0]}"
        raise SourceError("bad_encoding", text, "Correct the text in the source.") from None
    if piece.truncates.size:
        empty = pl.DataFrame({OP: ["t"] * piece.truncates.size, PLACE: piece.truncates})
        frames.append(empty.with_columns(pl.lit(0, pl.Int8).alias(SUB)))
    found = pl.concat(frames, how="diagonal").sort(PLACE, SUB)
    flags = [name for name in found.columns if name.startswith("#unchanged ")]
    place = found.get_column(PLACE).to_numpy()
    transactions = piece.transactions
    transaction = np.searchsorted(transactions.first, place, side="right") - 1
    message = transactions.before[transaction] + place - transactions.first[transaction]
    return found.with_columns(
        *(pl.col(name).fill_null(value=False) for name in flags),
        pl.Series(TRANSACTION, transaction, dtype=pl.Int64),
        (pl.Series(message, dtype=pl.Int64) * 2 + pl.col(SUB)).alias(SEQUENCE),
    )


def _events(piece: Piece, changes: Changes, columns: Sequence[str], key: Sequence[str]) -> Iterator[pl.DataFrame]:
    names = changes.layout.columns
    if changes.kind == "I" and changes.new is not None:
        yield _frame(piece, changes.place, changes.new, names, columns, "c", 1)
        return
    if missing := [name for name in key if name not in changes.layout.key]:
        raise SourceError(
            "no_identity",
            f"An update or a delete does not say which row it is of: {', '.join(missing)} is not in the replica "
            "identity of the table.",
            "ALTER TABLE … REPLICA IDENTITY DEFAULT (its primary key), USING INDEX one of the key, or FULL.",
        )
    if changes.kind == "D" and changes.old is not None:
        yield _frame(piece, changes.place, changes.old, names, columns, "d", 0)
        return
    assert changes.new is not None
    new = _filled(changes, key)
    moved = np.zeros(len(changes.place), np.bool_)
    if changes.old is not None:
        old = _frame(piece, changes.place, changes.old, names, key, "d", 0)
        now = _frame(piece, changes.place, new, names, key, "d", 0)
        differs = pl.any_horizontal(pl.lit(value=False), *(old[name].ne_missing(now[name]) for name in key))
        moved = old.select(differs.alias("m")).to_series().to_numpy() & changes.has_old
        gone = changes.old.chosen(moved)
        yield _frame(piece, changes.place[moved], gone, names, columns, "d", 0)
    yield _frame(piece, changes.place[moved], new.chosen(moved), names, columns, "c", 1)
    yield _frame(piece, changes.place[~moved], new.chosen(~moved), names, columns, "u", 1)


def _filled(changes: Changes, key: Sequence[str]) -> Tuples:
    """The new rows, with unchanged values from the old ones where those are known."""
    new, old = changes.new, changes.old
    assert new is not None
    if old is None or not new.unchanged.any():
        return new
    is_key = np.array([name in key for name in changes.layout.columns])
    take: Mask = new.unchanged & (changes.whole_old | (is_key[:, None] & changes.has_old))
    return Tuples(
        np.where(take, old.starts, new.starts),
        np.where(take, old.sizes, new.sizes),
        new.unchanged & ~take,
        new.ends,
    )


def _frame(
    piece: Piece, place: Ints, rows: Tuples, names: Sequence[str], columns: Sequence[str], op: str, sub: int
) -> pl.DataFrame:
    """Some row images with the columns that are wanted; a column that the table did not have then is left out."""
    messages, begins = piece.messages.gather(place), piece.begins[place]
    offsets: list[pl.Expr] = []
    for name in columns:
        if name not in names:
            continue
        at = names.index(name)
        start, size = pl.Series("s", rows.starts[at] - begins), pl.Series("n", rows.sizes[at])
        cut = pl.lit(messages.alias("m")).bin.slice(start, size.clip(lower_bound=0))
        offsets.append(pl.when(size >= 0).then(cut.cast(pl.String)).alias(name))
        if rows.unchanged[at].any():
            offsets.append(pl.lit(pl.Series(rows.unchanged[at])).alias(unchanged(name)))
    head = pl.DataFrame({PLACE: place}).with_columns(pl.lit(op).alias(OP), pl.lit(sub, pl.Int8).alias(SUB))
    return head.with_columns(offsets) if len(place) else head
