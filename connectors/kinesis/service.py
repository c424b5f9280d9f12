"""Questions to the service: signed, sent to checked addresses, and asked again while it is busy or away.

Answers are read by msgspec and not by botocore, which only signs: a megabyte of small records is thousands of objects.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx
import msgspec

from headrace.connectors.errors import SourceError
from headrace.connectors.kinesis.errors import EXPIRED, THROTTLED, not_reached, refused
from headrace.connectors.kinesis.login import Access
from headrace.connectors.kinesis.records import Described, Opened, Records, Refusal, Shard, Shards, Streams, Summary
from headrace.ir.redaction import redact

T = TypeVar("T")

PATIENCE_S = 90.0
"""Seconds for which a question is asked again."""
MOST_RECORDS = 10_000
"""Records of an answer, as the service has it."""
_MOST_BYTES = 32 << 20
"""Of an answer: 10 MiB of data in Base64, and what is around them."""
_TIMEOUT = {"connect": 10.0, "read": 60.0, "write": 60.0, "pool": 60.0}
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
_RESOLVED_S = 60.0
_OLD_KEYS = ("ExpiredToken", "ExpiredTokenException")


class Expired(Exception):
    """An iterator is too old."""


class Service:
    """Asks for one connection. It keeps its connections and can be asked by several threads."""

    def __init__(self, access: Access, *, patience: float = PATIENCE_S) -> None:
        self.access, self._patience = access, patience
        self._transport = httpx.HTTPTransport(trust_env=False)
        self._addresses: tuple[list[str], float] | None = None
        self._clock_ms: int | None = None

    def close(self) -> None:
        """Lets the connections go."""
        self._transport.close()

    @property
    def now_ms(self) -> int:
        """The service's time in milliseconds since 1970, as its last answer had it; that of this machine before."""
        return int(time.time() * 1000) if self._clock_ms is None else self._clock_ms

    # --- what can be asked

    def summary(self, stream: str) -> Summary:
        """What a stream is. Raises SourceError."""
        asked = {"StreamName": stream}
        return self._ask("DescribeStreamSummary", asked, Described, f"The stream '{stream}'").summary

    def shards(self, stream: str) -> list[Shard]:
        """All shards with records that are kept. Raises SourceError."""
        found: list[Shard] = []
        asked: dict[str, Any] = {"StreamName": stream}
        while True:
            page = self._ask("ListShards", asked, Shards, f"The shards of '{stream}'")
            found += page.shards
            if not page.more:
                return found
            asked = {"NextToken": page.more}

    def streams(self, most: int) -> Iterator[str]:
        """The names of the streams. Raises SourceError."""
        asked: dict[str, Any] = {}
        left = most
        while True:
            page = self._ask("ListStreams", asked, Streams, "The list of streams")
            yield from page.names[:left]
            left -= len(page.names)
            if not page.has_more or not page.names or left <= 0:
                return
            asked = {"NextToken": page.more} if page.more else {"ExclusiveStartStreamName": page.names[-1]}

    def iterator(self, stream: str, shard: str, where: Mapping[str, Any]) -> str:
        """An iterator of a shard; `where` is its type and what belongs to it. Raises SourceError."""
        asked = {"StreamName": stream, "ShardId": shard, **where}
        return self._ask("GetShardIterator", asked, Opened, f"Reading {shard} of '{stream}'").iterator

    def records(self, iterator: str, what: str, most: int = MOST_RECORDS) -> Records:
        """The next records. Raises SourceError, Expired."""
        return self._ask("GetRecords", {"ShardIterator": iterator, "Limit": most}, Records, what)

    # --- asking

    def _ask(self, operation: str, asked: Mapping[str, Any], kind: type[T], what: str) -> T:
        deadline, wait, renewed = time.monotonic() + self._patience, _FIRST_PAUSE_S, False
        while True:
            try:
                status, body = self._once(operation, asked)
            except SourceError as error:
                if error.code != "unknown_host":  # a resolver that is away comes back
                    raise
                failure = error
            except (httpx.HTTPError, OSError) as error:
                said = redact(str(error) or type(error).__name__, self.access.secrets)[:200].rstrip(". ")
                failure = not_reached(what, said)
                self._addresses = None
                if "CERTIFICATE" in said.upper() or isinstance(error, httpx.LocalProtocolError):
                    raise failure from None
            else:
                if status == 200:
                    return _decoded(body, kind, what)
                code, text = _refusal(body)
                if code == EXPIRED:
                    raise Expired
                failure = refused(code or f"HTTP {status}", redact(text, self.access.secrets), what)
                if code in _OLD_KEYS and self.access.login.role_arn is not None and not renewed:
                    self.access.forget()
                    renewed = True
                    continue
                if code not in THROTTLED and status < 500 and status != 429:
                    raise failure
            if time.monotonic() + wait > deadline:
                raise failure
            time.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311
            wait = min(wait * 2, _LONGEST_PAUSE_S)

    def _once(self, operation: str, asked: Mapping[str, Any]) -> tuple[int, bytes]:
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest

        there = self.access.address
        body = msgspec.json.encode(asked)
        headers = {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": f"Kinesis_20131202.{operation}",
            "User-Agent": "headrace",
            "Host": there.url.netloc.decode(),
        }
        signed = AWSRequest("POST", str(there.url), headers=headers, data=body)
        SigV4Auth(self.access.keys(), "kinesis", self.access.place.region).add_auth(signed)
        request = httpx.Request(
            "POST",
            there.at(self._address()),
            headers={**dict(signed.headers.items()), "Accept-Encoding": "identity"},
            content=body,
            extensions={"sni_hostname": there.host, "timeout": _TIMEOUT},
        )
        answer = self._transport.handle_request(request)
        answer.request = request
        try:
            self._clock_ms = _clock(answer.headers.get("date"))
            parts, size = [], 0
            for part in answer.iter_raw():
                size += len(part)
                if size > _MOST_BYTES:
                    raise SourceError("too_large", f"An answer of {there.host} is too large.", "It is no Kinesis.")
                parts.append(part)
            return answer.status_code, b"".join(parts)
        finally:
            answer.close()

    def _address(self) -> str:
        """An address of the service that was checked a short time ago: they change."""
        if self._addresses is None or time.monotonic() - self._addresses[1] > _RESOLVED_S:
            self._addresses = self.access.address.dialled(self.access.networks), time.monotonic()
        return self._addresses[0][0]


def _clock(date: str | None) -> int | None:
    try:
        return int(parsedate_to_datetime(date or "").timestamp() * 1000)
    except (ValueError, TypeError):
        return None


def _decoded(body: bytes, kind: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise SourceError("not_readable", f"{what}: what answers is no Kinesis.", "Check config.endpoint.") from None


def _refusal(body: bytes) -> tuple[str, str]:
    """Code and text of an error."""
    try:
        found = msgspec.json.decode(body[: 1 << 16], type=Refusal)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return "", ""
    said = " ".join(str(found.message or found.said or "").split())
    return found.type.rpartition("#")[2].partition(":")[0], said if said.isprintable() else ""
