"""What the `config` of a source node that reads a data stream may hold."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, StringConstraints, field_validator, model_validator

from headrace.connectors.errors import SourceError
from headrace.connectors.messages.formats import check_options
from headrace.connectors.messages.settings import MessageSettings
from headrace.connectors.specs.base import problems_of
from headrace.ir.problems import Problem, fault

StreamName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,128}$")]
METADATA = ("partitionKey", "sequence", "subsequence", "arrival", "shard", "stream")
"""What of a record can become a column."""
HORIZON, LATEST = "TRIM_HORIZON", "LATEST"
_NAMES = {"trim_horizon": HORIZON, "earliest": HORIZON, "latest": LATEST}


class KinesisSettings(MessageSettings):
    """A data stream."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    stream_name: StreamName | None = None
    """The stream; the connector's without it."""
    start_at: str = HORIZON
    """Where the first run begins: `TRIM_HORIZON` (the oldest record that is kept), `LATEST`, or the first record from a
    time on, `2024-01-31T00:00:00Z` or `AT_TIMESTAMP:2024-01-31T00:00:00Z`."""
    on_missing_offsets: Literal["fail", "earliest"] = "fail"
    """What a run does when records that it had to read may not be kept any more: fails, or goes on with the oldest."""
    foreign_records: Literal["error", "skip", "keep"] = "error"
    """What is done with a record in an aggregated one whose key belongs to another shard, as it happens when shards are
    split or merged. The KPL sends such a record again: `skip`. Other producers do not: `keep`. `error`: a failed
    row."""

    @model_validator(mode="after")
    def _known(self) -> KinesisSettings:
        for name in self.metadata:
            if name not in METADATA:
                raise fault("bad_option", f"a record has no metadata '{name}'", f"choose from {', '.join(METADATA)}")
        if self.options.get("registry"):
            raise fault("bad_option", "a data stream has no schema registry", "give options.schema")
        return self

    @field_validator("start_at")
    @classmethod
    def _when(cls, value: str) -> str:
        name = _NAMES.get(value.lower(), value)
        if name not in (HORIZON, LATEST):
            _instant(name)
        return name

    @property
    def start_ms(self) -> int | None:
        """The time of `startAt`, in milliseconds since 1970; None where it is none."""
        return None if self.start_at in (HORIZON, LATEST) else round(_instant(self.start_at).timestamp() * 1000)


def _instant(value: str) -> datetime:
    try:
        found = datetime.fromisoformat(value.removeprefix("AT_TIMESTAMP:"))
    except ValueError:
        hint = "write TRIM_HORIZON, LATEST or a time: 2024-01-31T00:00:00Z"
        raise fault("bad_option", f"'{value[:60]}' is no place to start at", hint) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def settings_of(config: Mapping[str, Any]) -> KinesisSettings:
    """A node's config. Raises SourceError(`bad_option`)."""
    if found := problems(config):
        raise SourceError("bad_option", f"{found[0].path}: {found[0].message}.", found[0].hint)
    return KinesisSettings.model_validate(dict(config))


def problems(config: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with a config when it is saved."""
    if found := problems_of(KinesisSettings, dict(config)):
        return found
    try:
        check_options(KinesisSettings.model_validate(dict(config)))
    except SourceError as error:
        return [Problem("config.options", error.code, error.message.rstrip("."), error.hint)]
    return []
