"""The `config` of a source node of an HTTP API: one endpoint, and how all of it is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import ConfigDict, Field, StringConstraints, ValidationError, model_validator

from headrace.connectors.errors import SourceError
from headrace.connectors.files.arrival.settings import PARAMETER
from headrace.connectors.http.job_settings import Job
from headrace.connectors.http.moments import duration_of, moment_of
from headrace.connectors.http.request_settings import Name, Request, Scalar
from headrace.connectors.http.template import arguments_of, places_of, with_arguments
from headrace.connectors.specs.base import ClosedConfig, problems_of
from headrace.ir.problems import Problem, fault, nearest
from headrace.ir.schema import DATA_TYPES, DataType
from headrace.ir.schema import Field as Column

ColumnType = Annotated[
    str,
    StringConstraints(pattern=f"^({'|'.join(DATA_TYPES)}|decimal\\([1-9][0-9]?,[0-9][0-9]?\\))$"),
]
"""A data type, or a decimal with its digits in all and those after the point."""

Argument = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")]


class Parent(Request):
    """The parent requests or values; the endpoint is read once for each."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    values: list[Scalar] | None = None
    """A list instead of a request: each value is `{parent.value}`."""
    keys: list[Name] = []
    """The keys of parent records for placeholders: `["id"]` for `{parent.id}`."""
    include: dict[Name, Name] = {}
    """Columns with a key of the parent record: `{"campaign_id": "id"}`."""

    @model_validator(mode="after")
    def _named(self) -> Parent:
        if self.values is not None:
            self.keys = ["value"]
        if not self.keys:
            raise fault("missing_field", "'keys' names what is taken of the parent's records", 'add "keys": ["id"]')
        for key in self.include.values():
            if key not in self.keys:
                raise fault("bad_option", f"'{key}' is not among the parent's keys", f"one of: {', '.join(self.keys)}")
        return self


class Window(ClosedConfig):
    """Time ranges that are requested one after the other."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    start: str
    """The start: `2024-01-01` or `2024-01-01T00:00:00Z`."""
    end: str = "now"
    """The end (exclusive): `now`, or a time like `start`."""
    step: str = "P30D"
    """The length of a window: `P1D`, `PT6H`. `{window.days}` is the number of its days, at least 1."""
    format: str = "iso"
    """The format of times: `iso`, `date`, `epoch`, `epoch_ms`, or a strftime format such as `%Y/%m/%d`."""
    overlap: str | None = None
    """Subtracted from the end of a window, if the API includes the end: `P1D` for days, `PT1S` for seconds."""

    @model_validator(mode="after")
    def _readable(self) -> Window:
        for name, text in (("start", self.start), ("end", self.end)):
            if text != "now" and not PARAMETER.search(text) and moment_of(text) is None:
                raise fault(
                    "bad_option", f"'{text}' is not a timestamp ({name})", "write 2024-01-31 or 2024-01-31T00:00:00Z"
                )
        for name, text in (("step", self.step), ("overlap", self.overlap or "PT0S")):
            if not PARAMETER.search(text) and (
                (length := duration_of(text)) is None or (name == "step" and not length)
            ):
                raise fault("bad_option", f"'{text}' is not a duration ({name})", "write P30D or PT6H")
        return self


class Cursor(ClosedConfig):
    """The cursor: a value that a run stores, so that the next one reads only what is new."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    field: Name
    """The key of a growing value in records: `updated_at`, `id`; a path for a value inside: `commit.author.date`. A
    record without it is an error row."""
    kind: Literal["time", "number", "text"] = "time"
    """Its type: times in ISO 8601, or `number`, such as seconds."""
    initial: str | int | None = None
    """The value of `{cursor}` in the first run. Without it, the first run omits parameters with `{cursor}`."""
    lookback: str | int | None = None
    """How far before the cursor a run begins, for late records: a duration, or a number. Records in between are read
    again: for targets with a key."""
    format: str | None = None
    """The format of times, as in `window.format`; by default the API's own text."""
    newest_first: bool = False
    """Records come in descending order of the field: reading ends with the first page that has older records than
    wanted, for APIs without a parameter for the cursor."""
    restart_after: int | None = Field(default=None, ge=1, le=10_000_000)
    """For APIs that give only so many records of one request: after them, the request begins again at the newest value.
    Records must come in ascending order of the field."""

    @model_validator(mode="after")
    def _ordered(self) -> Cursor:
        if self.newest_first and self.restart_after is not None:
            raise fault("bad_option", "'newestFirst' and 'restartAfter' do not go together", "remove one")
        return self


class RestSettings(Request):
    """The source config of an HTTP API."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    endpoint: Name | None = None
    """One of the `endpoints` of the connector's config; settings here override its settings."""
    parent: Parent | None = None
    """Reads the endpoint once for each record of another request, or each value of a list."""
    window: Window | None = None
    """Reads the endpoint once for each time range."""
    cursor: Cursor | None = None
    """Reads only what is new since the last run; `{cursor}` is the stored value."""
    job: Job | None = None
    """An asynchronous job whose results are read: `{job.id}`."""
    arguments: dict[Argument, Annotated[str, StringConstraints(max_length=100_000)] | None] = {}
    """Texts for the placeholders `{argument.name}` in the request and the job. The source node gives those that are
    null in the connector's endpoint."""
    key: list[Name] = []
    """The fields that identify a record. A record that was on an earlier page, because records moved during reading, is
    then an error row. Not needed if the target has a key, which keeps the newest."""
    fields: dict[Name, ColumnType] = Field(default={}, max_length=1_000)
    """The columns and their types, if the source node declares none: `{"id": "bigint", "price": "decimal(20,4)"}`.
    Other keys are not read."""
    nulls: list[Annotated[str, StringConstraints(max_length=100)]] = Field(default=[], max_length=20)
    """Texts that mean null, in all columns but `json`: `[""]`."""
    new_keys: Literal["fail", "ignore"] = "fail"
    """The policy for keys that no record had when columns were inferred, if no `fields` are declared."""

    @model_validator(mode="after")
    def _placed(self) -> RestSettings:
        for name, kind in self.fields.items():
            column = column_of(name, kind)
            if column.precision is not None and (column.precision > 38 or (column.scale or 0) > column.precision):
                raise fault("bad_option", f"'{kind}' of '{name}' has too many digits", "write decimal(38,9)")
        if self.endpoint is not None:
            return self  # validated with the endpoint's settings
        known = {f"parent.{key}" for key in (self.parent.keys if self.parent else ())}
        known |= {"window.start", "window.end", "window.days"} if self.window else set()
        known |= {"cursor"} if self.cursor else set()
        made = [each for each in (self.job.create, self.job.status) if each is not None] if self.job else []
        sent: list[Any] = [self.path, self.params, self.headers, self.body, self.form]
        sent += [[each.path, each.params, each.headers, each.body] for each in made]
        known |= {f"job.{name}" for each in made for name in each.values}
        for place in places_of(sent):
            if place not in known:
                raise fault(
                    "bad_option", f"there is nothing for {{{place}}}", f"one of: {', '.join(sorted(known)) or '-'}"
                )
        for name in arguments_of(sent):
            if name not in self.arguments:
                raise fault("bad_option", f"there is no argument '{name}'", nearest(name, self.arguments))
        if self.job is not None and self.job.at_once and self.pagination.type != "none":
            raise fault("bad_option", "the results of this job have no pages", "remove 'pagination'")
        if self.job is not None and self.cursor is not None and self.cursor.restart_after is not None:
            raise fault("bad_option", "'job' and 'restartAfter' do not go together", "remove one")
        if self.job is not None and self.job.download is not None and self.path:
            raise fault("bad_option", "the results are at the job's 'download'", "remove 'path'")
        if self.parent is not None and self.parent.values is None:
            for place in places_of([self.parent.path, self.parent.params, self.parent.body, self.parent.form]):
                raise fault("bad_option", f"{{{place}}} is not allowed in the parent", "remove it")
        if self.parent is not None and (twice := [name for name in self.parent.include if name in self.fields]):
            raise fault("bad_option", f"'{twice[0]}' is in 'fields' and in parent.include", "rename it in one of them")
        if self.cursor is not None and self.cursor.restart_after is not None and "cursor" not in places_of(sent):
            raise fault("bad_option", "'restartAfter' needs {cursor} in the request", "send it in a parameter")
        if self.cursor is not None and self.window is not None:
            raise fault("bad_option", "'cursor' and 'window' do not go together", "use the cursor as a parameter")
        return self


def column_of(name: str, kind: str) -> Column:
    """The column of an entry of `fields`."""
    word, _, digits = kind.rstrip(")").partition("(")
    if not digits:
        return Column(name, cast(DataType, word))
    precision, scale = map(int, digits.split(","))
    return Column(name, "decimal", precision, scale)


def settings_of(config: Mapping[str, Any], endpoints: Mapping[str, Mapping[str, Any]] | None = None) -> RestSettings:
    """A node's config, with the run's parameters filled in, over that of the endpoint it names. Raises
    SourceError(`bad_option`)."""
    named = config.get("endpoint")
    if named is not None:
        known = endpoints or {}
        if named not in known:
            hint = nearest(named, known) or "The connector's config has no 'endpoints'."
            raise SourceError("bad_option", f"config.endpoint: the connector names no endpoint '{named}'.", hint)
        own = {name: value for name, value in config.items() if name != "endpoint"}
        given = own.get("arguments")
        if isinstance(given, Mapping) and (unknown := set(given) - set(_arguments(known[named]))):
            hint = nearest(min(unknown), _arguments(known[named]))
            raise SourceError("bad_option", f"config.arguments: there is no argument '{min(unknown)}'.", hint)
        config = {**known[named], **own}
        if isinstance(given, Mapping):
            config["arguments"] = {**_arguments(known[named]), **given}
    if arguments := _arguments(config):
        if missing := [name for name, value in arguments.items() if value is None]:
            raise SourceError(
                "missing_field",
                f"config.arguments: the endpoint needs '{missing[0]}'.",
                f'Add "arguments": {{"{missing[0]}": "…"}} to the source.',
            )
        texts = {name: str(value) for name, value in arguments.items()}
        config = {
            name: value if name == "arguments" else with_arguments(value, texts) for name, value in config.items()
        }
    try:
        return RestSettings.model_validate(dict(config))
    except ValidationError:
        first = problems_of(RestSettings, dict(config))[0]
        raise SourceError("bad_option", f"{first.path}: {first.message}.", first.hint) from None


def _arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    found = config.get("arguments")
    return dict(found) if isinstance(found, Mapping) else {}


def problems(config: Mapping[str, Any]) -> list[Problem]:
    """The problems of a config, checked when it is saved; a run parameter may replace any value."""
    return [each for each in problems_of(RestSettings, dict(config)) if not is_parameter(config, each)]


def is_parameter(config: Mapping[str, Any], problem: Problem) -> bool:
    """Whether the problem is about a value that a run parameter replaces."""
    if PARAMETER.search(problem.message):
        return True
    value: Any = config
    for step in problem.path.split(".")[1:]:
        if isinstance(value, Mapping) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            break
    return isinstance(value, str) and PARAMETER.search(value) is not None
