"""Responses to requests with records: taken, refused as a whole, or with single rejected records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import msgspec

from headrace.connectors.errors import SourceError, TargetError
from headrace.connectors.http.answers import Answer, says_yes, text_at, value_at
from headrace.connectors.http.client import Api
from headrace.connectors.http.target.settings import HttpTarget

_LIST = msgspec.json.Decoder(list[msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Outcome:
    """`whole` is the message of a request that was refused as a whole, of which nothing was taken; else `rejects` has
    the messages of the records that were not taken, by their index in the request."""

    whole: str | None = None
    rejects: dict[int, str] = field(default_factory=dict)


class UnclearAnswer(TargetError):
    """The API answered, but not whether it has taken the records."""


def outcome_of(api: Api, settings: HttpTarget, status: int, answer: Answer, count: int) -> Outcome | None:
    """The outcome of a request with `count` records; None for a status that is not about its records, which it has not
    taken. Raises UnclearAnswer."""
    if status in settings.refuses:
        return Outcome(_message(api, status, answer))
    if status not in settings.accepts:
        if 200 <= status < 300:
            text = f"{answer.what}: the API answered {status}, which 'accepts' does not have."
            raise UnclearAnswer("unexpected_status", text, f"Add {status} to accepts, or to refuses.")
        return None
    try:
        if settings.ok is not None and not says_yes(answer, settings.ok):
            return Outcome(_message(api, status, answer))
        return Outcome(rejects=dict(_rejects(api, settings, answer, count)))
    except SourceError as error:
        raise UnclearAnswer(error.code, error.message, error.hint) from None


def _rejects(api: Api, settings: HttpTarget, answer: Answer, count: int) -> Iterator[tuple[int, str]]:
    """Raises UnclearAnswer for an entry that names no record of the request."""
    places = settings.rejects
    if places is None or not answer.body.strip():
        return
    listed = value_at(answer, places.path)
    if listed is None or listed == b"null":
        return
    try:
        entries = _LIST.decode(listed)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        text = f"{answer.what}: '{places.path}' in the answer is not a list."
        raise UnclearAnswer("drift", text, "Correct rejects.path.") from None
    found: dict[int, str] = {}
    for raw in entries:
        entry = replace(answer, body=bytes(raw))
        position = text_at(entry, places.index) or ""
        index = int(position) - places.first if position.isdecimal() and len(position) < 10 else -1
        message = api.clean(text_at(entry, places.message) or bytes(raw).decode("utf-8", "replace"))
        if not 0 <= index < count:
            text = f"{answer.what}: the API reports an error of no record of the request: {message}."
            raise UnclearAnswer("unplaced_reject", text, "Correct rejects.index and rejects.first.")
        found[index] = f"{found[index]}; {message}" if index in found else message or "Refused by the API"
    yield from found.items()


def _message(api: Api, status: int, answer: Answer) -> str:
    return f"The API answered {status}{api.said(answer)}"
