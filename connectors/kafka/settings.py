"""The `config` of a source node that reads topics."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator

from headrace.connectors.errors import SourceError
from headrace.connectors.messages.formats import check_options
from headrace.connectors.messages.settings import MessageSettings
from headrace.connectors.specs.base import problems_of
from headrace.ir.problems import Problem, fault

TopicName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,249}$")]
METADATA = ("key", "topic", "partition", "offset", "timestamp", "headers")
"""The metadata of a message that can become columns."""


class KafkaSettings(MessageSettings):
    """The source config of topics: one, several, or all whose names match a pattern."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    topic: TopicName | None = None
    """A topic by its name."""
    topics: Annotated[list[TopicName], Field(min_length=1, max_length=500)] | None = None
    """Several topics by their names."""
    topic_pattern: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    """A pattern of names, `orders-*`; each run finds new topics."""
    start_at: str = "earliest"
    """Where the first run begins: `earliest`, `latest`, or the first message from a time on, `2024-01-31T00:00:00Z`."""
    on_missing_offsets: Literal["fail", "earliest"] = "fail"
    """What a run does if messages that it has to read were deleted: fail, or continue with the oldest."""
    isolation: Literal["read_committed", "read_uncommitted"] = "read_committed"
    """Whether messages of uncommitted transactions are skipped."""

    @model_validator(mode="after")
    def _one(self) -> KafkaSettings:
        if [self.topic, self.topics, self.topic_pattern].count(None) != 2:
            raise fault("missing_field", "one of 'topic', 'topics' and 'topicPattern' is required", "add one of them")
        for name in self.metadata:
            if name not in METADATA:
                known = ", ".join(METADATA)
                raise fault("bad_option", f"a message has no metadata '{name}'", f"choose from {known}")
        return self

    @field_validator("start_at")
    @classmethod
    def _when(cls, value: str) -> str:
        if value not in ("earliest", "latest"):
            _instant(value)
        return value

    @property
    def start_ms(self) -> int | None:
        """The time of `startAt`, in milliseconds since 1970; None if it is not a time."""
        return None if self.start_at in ("earliest", "latest") else int(_instant(self.start_at).timestamp() * 1000)


def _instant(value: str) -> datetime:
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        hint = "write earliest, latest or a time: 2024-01-31T00:00:00Z"
        raise fault("bad_option", f"'{value[:60]}' is not a valid start", hint) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def settings_of(config: Mapping[str, Any]) -> KafkaSettings:
    """A node's config. Raises SourceError(`bad_option`)."""
    if found := problems(config):
        raise SourceError("bad_option", f"{found[0].path}: {found[0].message}.", found[0].hint)
    return KafkaSettings.model_validate(dict(config))


def problems(config: Mapping[str, Any]) -> list[Problem]:
    """The problems of a config, checked when it is saved."""
    if found := problems_of(KafkaSettings, dict(config)):
        return found
    try:
        check_options(KafkaSettings.model_validate(dict(config)))
    except SourceError as error:
        return [Problem("config.options", error.code, error.message.rstrip("."), error.hint)]
    except ValidationError:  # pragma: no cover - validated above
        raise
    return []
