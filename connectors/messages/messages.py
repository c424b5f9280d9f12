"""Some consecutive messages of one shard or topic partition, as columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Messages:
    """`values` are the payloads, None for a tombstone; `keys` are as long, or empty where nobody wants them. `places`
    says for people where the messages with these indexes are, `orders[3] offset 4711`: called only for those at fault.
    `metadata` are further columns of the length of `values`. `faults` are messages that are not to be decoded, by their
    index: an error for people and a rule."""

    values: Sequence[bytes | None]
    places: Callable[[pl.Series], pl.Series]
    keys: Sequence[bytes | None] = ()
    metadata: Mapping[str, pl.Series] = field(default_factory=dict)
    faults: Mapping[int, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fault:
    """A record that cannot be decoded. `row` is its index among the records, `error` a message, `rule` a short stable
    id."""

    row: int
    text: bytes
    error: str
    rule: str


@dataclass(frozen=True, slots=True)
class Decoded:
    """The records of some payloads. `of` is for each record, valid or not, the index of its payload; `sound` are the
    indexes of the valid records. `raw` has a row for each valid record: texts, or typed values."""

    raw: pl.DataFrame
    of: Places
    sound: Places
    faults: Sequence[Fault] = ()
