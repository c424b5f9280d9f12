"""The records in a ZIP file of an API, in blocks of lines: the file is on a disk, a block in memory."""

from __future__ import annotations

import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import IO, BinaryIO

from headrace.connectors.errors import SourceError
from headrace.connectors.http.answers import Answer, records_of
from headrace.connectors.http.client import Api
from headrace.connectors.http.client import Sent as SentRequest
from headrace.connectors.http.job_settings import Job
from headrace.connectors.http.jobs import waited
from headrace.connectors.http.pages import Page, sent_of
from headrace.connectors.http.paging import Place
from headrace.connectors.http.settings import RestSettings

_BLOCK = 4 << 20


def results(
    api: Api, settings: RestSettings, values: Mapping[str, str], place: Place | None, label: str
) -> Iterator[Page]:
    """The results of a job that are one response: the blocks of all files of an archive from a position on, or the
    whole. Raises SourceError: `bad_page` for what is no ZIP file, `too_large` for a line."""
    if settings.archive is None:
        answer = downloaded(api, settings, values, label, None)
        yield Page(Place(), None, records_of(answer, settings), answer)
        return
    with tempfile.TemporaryFile(dir=api.scratch) as file:
        answer = downloaded(api, settings, values, label, file)
        begin = place.pages if place is not None else 0
        here, records = Place(), 0
        blocks = _blocks(file, answer, api.most)
        lines = next(blocks, [])
        while True:
            following = next(blocks, None)
            after = Place(None, None, here.pages + 1, records + len(lines)) if following is not None else None
            if here.pages >= begin:
                yield Page(here, after, lines, answer)
            if following is None or after is None:
                return
            records, here, lines = after.records, after, following


def downloaded(
    api: Api, settings: RestSettings, values: Mapping[str, str], label: str, file: BinaryIO | None
) -> Answer:
    """The response with the results, once they are there; its body is written to `file`, if there is one."""
    job = settings.job
    until = time.monotonic() + (job.max_minutes * 60 if job is not None else 0)
    while True:
        answer = api.asked(_request(api, settings, job, values, label), file)
        if not answer.nothing or job is None:
            return answer
        waited(api, job, until, answer.what, "no results")


def _request(api: Api, settings: RestSettings, job: Job | None, values: Mapping[str, str], label: str) -> SentRequest:
    waits = tuple(job.not_yet) if job is not None else ()
    if job is None or job.download is None:
        sent = sent_of(api, settings, values, Place(), label)
        return SentRequest(sent.method, sent.url, sent.query, sent.headers, sent.body, sent.label, waits)
    url = values[f"job.{job.download}"]
    if not url.startswith(("https://", f"{api.base.url.scheme}://")):
        raise SourceError("bad_url", "The address of a job's results is not an https address.", "")
    return SentRequest("GET", url, (), {}, None, f"GET {api.shown(url)}{label}", waits)


def _blocks(file: BinaryIO, answer: Answer, most: int) -> Iterator[list[bytes]]:
    try:
        with zipfile.ZipFile(file) as archive:
            for entry in sorted(archive.infolist(), key=lambda each: each.filename):
                if not entry.is_dir():
                    with archive.open(entry) as opened:
                        yield from _lines(opened, answer, most)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        said = str(error)[:200] or type(error).__name__
        raise SourceError(
            "bad_page", f"{answer.what}: the ZIP file cannot be read: {said}.", "Check what the API gives."
        ) from None


def _lines(opened: IO[bytes], answer: Answer, most: int) -> Iterator[list[bytes]]:
    rest = b""
    while part := opened.read(_BLOCK):
        whole, newline, onward = part.rpartition(b"\n")
        if newline:
            yield from _records(rest + whole)
            rest = onward
        else:
            rest += part
        if len(rest) > most:
            raise SourceError(
                "too_large", f"{answer.what}: a line has more than {most:,} bytes.", "Raise maxPageBytes."
            )
    yield from _records(rest)


def _records(text: bytes) -> Iterator[list[bytes]]:
    if found := [line for line in map(bytes.strip, text.split(b"\n")) if line]:
        yield found
