"""Payloads that are one text each, or bytes encoded as text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from headrace.connectors.files.delimited.encoding import invalid_offsets
from headrace.connectors.messages.messages import Decoded, Fault, Places

COLUMN = "value"


class RawPayloads:
    """The column `name` with the payload: as UTF-8, or as Base64."""

    def __init__(self, name: str, *, base64: bool) -> None:
        self._name, self._base64 = name, base64

    def decode(self, values: Sequence[bytes]) -> Decoded:
        """One record for each payload."""
        of: Places = np.arange(len(values), dtype=np.int64)
        data = pl.Series(self._name, values, dtype=pl.Binary)
        if self._base64:
            return Decoded(data.to_frame().select(pl.col(self._name).bin.encode("base64")), of, of)
        try:
            return Decoded(data.cast(pl.String).to_frame(), of, of)
        except PolarsError:
            bad = [place for place, value in enumerate(values) if invalid_offsets(value)]
        sound = np.delete(of, bad)
        text = pl.Series(self._name, [values[place] for place in sound.tolist()], dtype=pl.Binary).cast(pl.String)
        return Decoded(text.to_frame(), of, sound, [_fault(place, values[place]) for place in bad])


def _fault(place: int, value: bytes) -> Fault:
    at = invalid_offsets(value)[0]
    reason = f"Not valid UTF-8: byte 0x{value[at]:02X} at byte {at + 1}"
    return Fault(place, value, f"{reason}; set options.encoding to base64", "encoding")
