"""The `config` of a source node that reads a collection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from headrace.connectors.errors import SourceError
from headrace.connectors.files.arrival.settings import PARAMETER
from headrace.connectors.mongodb.filters import Refused, checked_filter, checked_projection
from headrace.connectors.specs.base import ClosedConfig, problems_of
from headrace.connectors.sql.settings import Name, Value, checked_lag
from headrace.ir.problems import Problem, fault


def _filter(given: dict[str, Any]) -> dict[str, Any]:
    try:
        checked_filter(given)
    except Refused as error:
        raise fault("bad_filter", str(error), error.hint) from None
    except ModuleNotFoundError:  # validated when the source is opened
        pass
    return given


def _projection(given: dict[str, Any]) -> dict[str, Any]:
    try:
        checked_projection(given)
    except Refused as error:
        raise fault("bad_projection", str(error), error.hint) from None
    return given


def _collection(text: str) -> str:
    if "\0" in text or "$" in text or text.startswith((".", "system.")):
        raise fault("bad_collection", f"'{text}' is not a collection that can be read", "write its name: orders")
    return text


class MongoCursor(ClosedConfig):
    """The field by which a run continues where the last one ended. `_id` distinguishes documents of the same value."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    column: Name
    """A field that grows with every added or changed document: `updatedAt`, `_id`. Documents in which it is missing,
    null, a list or of another type than in the newest are not read."""
    initial: Value = None
    """The value from which the first run reads; by default all rows are read."""
    lag: Annotated[str | int | float | None, AfterValidator(checked_lag)] = None
    """How far a run lags behind the present: a duration (`PT5M`) or seconds for dates and ObjectIds, a number for
    numbers."""


class MongoPartitioning(ClosedConfig):
    """How documents are split into partitions."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    by: Literal["auto", "key", "none"] = "auto"
    """`key`: ranges of `_id`, from a sample. `auto`: the same, for a collection; one partition for a view."""
    partitions: int | None = Field(default=None, ge=1, le=1000)
    """The most partitions; by default chosen by the run's parallelism and the collection's size."""


class MongoSettings(ClosedConfig):
    """The source config of a MongoDB database."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    collection: Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(_collection)]
    """A collection or a view."""
    filter: Annotated[dict[str, Any], AfterValidator(_filter)] = {}
    """Which documents, as in `find`: comparisons, `$in`, `$and`, `$or`, `$not`, `$exists`, `$type`, `$regex`,
    `$elemMatch` …; dates and ObjectIds in Extended JSON: `{"at": {"$gte": {"$date": "2024-01-01T00:00:00Z"}}}`. Nothing
    that runs code."""
    projection: Annotated[dict[str, Any], AfterValidator(_projection)] | None = None
    """The fields to read: `{"name": 1, "address.city": 1}`, or all except some: `{"photo": 0}`."""
    known_keys: list[Name] = Field(default=[], max_length=1600)
    """Keys that are columns, null where a document lacks them, even if no document that is read has them. Without
    declared fields, the other columns are those of the documents that are read."""
    document: Name | None = None
    """The name of a column for the whole document, as JSON. Without declared fields, it and `_id` are the only
    columns."""
    cursor: MongoCursor | None = None
    """Reads only what is new since the last run."""
    partitioning: MongoPartitioning | None = None
    """How it is split; automatic by default."""
    timeout_seconds: float | None = Field(default=None, gt=0, le=604_800)
    """The time limit of one command on the server; six hours by default."""

    @model_validator(mode="after")
    def _together(self) -> MongoSettings:
        if self.cursor is not None and self.projection is not None:
            sent = checked_projection(self.projection)
            named = self.cursor.column in sent
            if self.cursor.column != "_id" and named != (1 in sent.values()):
                raise fault("bad_projection", f"The projection leaves out '{self.cursor.column}', the cursor", "add it")
        return self

    @property
    def partitions(self) -> MongoPartitioning:
        """The split settings, with defaults."""
        return self.partitioning or MongoPartitioning()


def keys_only(settings: Mapping[str, Any], columns: Sequence[str]) -> Mapping[str, Any]:
    """The same collection without its cursor: `Connector.keys`. Which fields are sent is settled by the declared
    ones, and those that are wanted."""
    del columns
    kept = {name: value for name, value in settings.items() if name not in ("cursor", "document", "knownKeys")}
    return {**kept, "partitioning": {"by": "none"}}


def settings_of(config: Mapping[str, Any]) -> MongoSettings:
    """A node's config, with the run's parameters filled in. Raises SourceError(`bad_option`)."""
    try:
        return MongoSettings.model_validate(dict(config))
    except ValidationError:
        first = problems_of(MongoSettings, dict(config))[0]
        raise SourceError("bad_option", f"{first.path}: {first.message}.", first.hint) from None


def problems(config: Mapping[str, Any]) -> list[Problem]:
    """The problems of a config, checked when it is saved."""
    return [each for each in problems_of(MongoSettings, config) if not PARAMETER.search(each.message)]
