"""The `config` of a source node that reads a collection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from headrace.connectors.errors import SourceError
from headrace.connectors.files.arrival.settings import PARAMETER
from headrace.connectors.mongodb.filters import Refused, judged_filter, judged_projection
from headrace.connectors.specs.base import ClosedConfig, problems_of
from headrace.connectors.sql.settings import Name, Value, checked_lag
from headrace.ir.problems import Problem, fault


def _filter(given: dict[str, Any]) -> dict[str, Any]:
    try:
        judged_filter(given)
    except Refused as error:
        raise fault("bad_filter", str(error), error.hint) from None
    except ModuleNotFoundError:  # judged where the source is opened
        pass
    return given


def _projection(given: dict[str, Any]) -> dict[str, Any]:
    try:
        judged_projection(given)
    except Refused as error:
        raise fault("bad_projection", str(error), error.hint) from None
    return given


def _collection(text: str) -> str:
    if "\0" in text or "$" in text or text.startswith((".", "system.")):
        raise fault("bad_collection", f"'{text}' is no collection that can be read", "write its name: orders")
    return text


class MongoCursor(ClosedConfig):
    """The field by which a run goes on where the last one ended. `_id` distinguishes documents of the same value."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    column: Name
    """A field of the documents that grows with every one that is added or changed: `updatedAt`, `_id`. Documents in
    which it is missing, null, a list or of another type than in the newest are not read."""
    initial: Value = None
    """The value from which the first run reads; all there is without it."""
    lag: Annotated[str | int | float | None, AfterValidator(checked_lag)] = None
    """How far a run lags behind the present: a duration (`PT5M`) or seconds for dates and ObjectIds, a number for
    numbers."""


class MongoPartitioning(ClosedConfig):
    """How documents are shared out among partitions."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    by: Literal["auto", "key", "none"] = "auto"
    """`key`: ranges of `_id`, from a sample. `auto`: the same, for a collection; one partition for a view."""
    partitions: int | None = Field(default=None, ge=1, le=1000)
    """At most so many; by the run's parallelism and the collection's size without it."""


class MongoSettings(ClosedConfig):
    """What is read of a MongoDB database."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    collection: Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(_collection)]
    """A collection or a view."""
    filter: Annotated[dict[str, Any], AfterValidator(_filter)] = {}
    """Which documents, as in `find`: comparisons, `$in`, `$and`, `$or`, `$not`, `$exists`, `$type`, `$regex`,
    `$elemMatch` …; dates and ObjectIds in Extended JSON: `{"at": {"$gte": {"$date": "2024-01-01T00:00:00Z"}}}`. Nothing
    that runs code."""
    projection: Annotated[dict[str, Any], AfterValidator(_projection)] | None = None
    """What the server sends of each document: `{"name": 1, "address.city": 1}`, or all but some: `{"photo": 0}`."""
    document: Name | None = None
    """A column for the whole document, as JSON. Without declared fields there are only this one and `_id`."""
    cursor: MongoCursor | None = None
    """Only what is new since the last run."""
    partitioning: MongoPartitioning | None = None
    """How it is split; by itself without it."""
    timeout_seconds: float | None = Field(default=None, gt=0, le=604_800)
    """How long the server works on one question at most; six hours without it."""

    @model_validator(mode="after")
    def _together(self) -> MongoSettings:
        if self.cursor is not None and self.projection is not None:
            sent = judged_projection(self.projection)
            named = self.cursor.column in sent
            if self.cursor.column != "_id" and named != (1 in sent.values()):
                raise fault("bad_projection", f"The projection leaves out '{self.cursor.column}', the cursor", "add it")
        return self

    @property
    def partitions(self) -> MongoPartitioning:
        """How it is split."""
        return self.partitioning or MongoPartitioning()


def settings_of(config: Mapping[str, Any]) -> MongoSettings:
    """A node's config, with the run's parameters filled in. Raises SourceError(`bad_option`)."""
    try:
        return MongoSettings.model_validate(dict(config))
    except ValidationError:
        first = problems_of(MongoSettings, dict(config))[0]
        raise SourceError("bad_option", f"{first.path}: {first.message}.", first.hint) from None


def problems(config: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with a config when it is saved."""
    return [each for each in problems_of(MongoSettings, config) if not PARAMETER.search(each.message)]
