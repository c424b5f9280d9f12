"""The requests that earlier attempts of a load sent, compared with the rows that are read now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from headrace.connectors.postgresql.ledger.sent_requests import SentRequest
from headrace.connectors.source import ROW

_SHOWN = (1 << 40) - 1
"""The part of a row's number that people see."""


@dataclass(frozen=True, slots=True)
class Found:
    """Requests whose rows are all there with the same records: `answered`, and `unknown` ones. Of `cut` ones only some
    are, of which it is not known whether the API took them. `left` are the rows that no attempt sent."""

    answered: Sequence[SentRequest]
    unknown: Sequence[SentRequest]
    cut: Sequence[SentRequest]
    left: pl.DataFrame


class Earlier:
    """The requests of one partition that the ledger does not count yet."""

    def __init__(self, requests: Sequence[SentRequest]) -> None:
        self._by_number = {each.number: each for each in requests}
        self.numbers = [*self._by_number]
        frames = [
            pl.DataFrame(
                {ROW: [*each.rows], "digest": [*each.digests]}, schema={ROW: pl.Int64, "digest": pl.Int64}
            ).with_columns(number=pl.lit(each.number, pl.Int64))
            for each in requests
        ]
        self._rows = pl.concat(frames) if frames else None

    def has_all(self, request: SentRequest) -> bool:
        """Whether a request of `Found` has all rows that were sent with it."""
        return len(request.rows) == len(self._by_number[request.number].rows)

    def among(self, records: pl.DataFrame) -> Found:
        """The requests that sent some of these records (ROW, `digest`), and the records that none sent."""
        if self._rows is None:
            return Found((), (), (), records)
        met = records.select(ROW, "digest").join(self._rows, on=[ROW, "digest"])
        counts = met.group_by("number").len().sort("number")
        answered: list[SentRequest] = []
        unknown: list[SentRequest] = []
        cut: list[SentRequest] = []
        for number, rows in counts.rows():
            request = self._by_number[number]
            if request.state == "answered":
                there = met.filter(pl.col("number") == number).get_column(ROW).to_list()
                answered.append(_only(request, there))
            else:
                (unknown if rows == len(request.rows) else cut).append(request)
        cut = [_only(each, met.filter(pl.col("number") == each.number).get_column(ROW).to_list()) for each in cut]
        gone = [each.number for each in cut]
        settled = met.filter(~pl.col("number").is_in(gone))
        return Found(answered, unknown, cut, records.join(settled, on=[ROW, "digest"], how="anti"))


def row_range(rows: Sequence[int]) -> str:
    """The first and the last row, as people see them."""
    first, last = min(rows) & _SHOWN, max(rows) & _SHOWN
    return f"{first:,}" if first == last else f"{first:,} to {last:,}"


def _only(request: SentRequest, rows: Sequence[int]) -> SentRequest:
    """A request with those of its rows that are read now: the others come with another batch."""
    if len(rows) == len(request.rows):
        return request
    there = set(rows)
    refused = {row: message for row, message in request.refused.items() if row in there}
    digests = [digest for row, digest in zip(request.rows, request.digests, strict=True) if row in there]
    return SentRequest(request.number, request.request_id, request.run_id, request.state, rows, digests, refused)
