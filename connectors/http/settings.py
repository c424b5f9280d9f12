"""The `config` of a source node of an HTTP API: one endpoint, and how all of it is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import ConfigDict, Field, StringConstraints, ValidationError, model_validator

from headrace.connectors.errors import SourceError
from headrace.connectors.files.arrival.settings import PARAMETER
from headrace.connectors.http.moments import duration_of, moment_of
from headrace.connectors.http.template import arguments_of, places_of, with_arguments
from headrace.connectors.specs.base import ClosedConfig, problems_of
from headrace.ir.problems import Problem, fault, nearest
from headrace.ir.schema import DATA_TYPES, DataType
from headrace.ir.schema import Field as Column

Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Path = Annotated[str, StringConstraints(max_length=2000)]
Scalar = str | int | float | bool | None
Header = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$")]
HeaderValue = Annotated[str, StringConstraints(pattern=r"^[\x20-\x7e]*$", max_length=4000)]

ColumnType = Annotated[
    str,
    StringConstraints(pattern=f"^({'|'.join(DATA_TYPES)}|decimal\\([1-9][0-9]?,[0-9][0-9]?\\))$"),
]
"""A data type, or a decimal with its digits in all and those after the point."""

Argument = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")]
MOST_PAGES = 100_000
OWN_HEADERS = ("host", "content-length", "transfer-encoding", "connection", "accept-encoding")
"""Headers that the client sets itself."""
NEVER_EMPTY = (401, 407, 408, 425, 429)
"""Statuses of a refused login and of requests that are retried."""


def address_of(path: str) -> None:
    """Raises for what is no path below the API's address."""
    if "://" in path or path.startswith("//") or any(sign in path for sign in "?#\\"):
        raise fault("bad_option", f"'{path}' is not a path", "write /v1/orders; parameters go into 'params'")
    if any(part in (".", "..") for part in path.split("/")):
        raise fault("bad_option", f"'{path}' leaves its folder", "write it without dots")


class Pagination(ClosedConfig):
    """How one page leads to the next."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    type: Literal["none", "page", "offset", "cursor", "link", "next_url"] = "none"
    """`page`: a page number. `offset`: the number of records to skip. `cursor`: a token from the response. `link`: the
    header `Link` with rel="next". `next_url`: a URL in the response."""
    param: Name | None = None
    """The parameter for the number, offset or token: `page`, `offset`, `starting_after`."""
    into: Literal["query", "body", "header"] = "query"
    """Where `param` and `sizeParam` are sent."""
    start: int | None = Field(default=None, ge=0)
    """The first number; by default 1 for pages and 0 for offsets."""
    page_size: int | None = Field(default=None, ge=1, le=100_000)
    """The number of records per page."""
    size_param: Name | None = None
    """The parameter for `pageSize`: `per_page`, `limit`."""
    next: Path | None = None
    """The path of the next token or URL in the response: `meta.next`."""
    next_header: Header | None = None
    """The response header with the token, instead of a path."""
    next_from_record: Name | None = None
    """The key of the page's last record whose value is the token, instead of a path: `id`."""
    has_more: Path | None = None
    """The path of a value in the response that is false, 0, null or missing on the last page."""
    total: Path | None = None
    """The path of the total number of records in the response; reading ends after that many."""
    stop: Literal["empty_page", "short_page"] = "empty_page"
    """The last page without `hasMore` and `total`: an empty page, or one with fewer records than `pageSize`, which
    saves a request if the API never returns short pages in between."""

    @model_validator(mode="after")
    def _whole(self) -> Pagination:
        if self.type in ("page", "offset", "cursor") and self.param is None:
            raise fault("missing_field", f"pagination by {self.type} needs 'param'", "add the parameter it is sent in")
        given = [each for each in (self.next, self.next_header, self.next_from_record) if each is not None]
        if self.type == "cursor" and len(given) != 1:
            raise fault("missing_field", "pagination by cursor needs one of 'next', 'nextHeader', 'nextFromRecord'", "")
        if self.type == "next_url" and (self.next is None) == (self.next_header is None):
            raise fault("missing_field", "pagination by next_url needs 'next' or 'nextHeader'", "add one of the two")
        if self.page_size is None and (self.size_param is not None or self.stop == "short_page"):
            raise fault("missing_field", "'sizeParam' and stop=short_page need 'pageSize'", "add it")
        return self


class Request(ClosedConfig):
    """One request, and the records of its response."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    path: Path = ""
    """The path below the connector's `url`: `/v1/orders`. `{parent.id}` in it is filled in."""
    method: Literal["GET", "POST"] = "GET"
    """The HTTP method. A POST must only read, because it is retried after failures."""
    params: dict[Name, Scalar | list[Scalar]] = {}
    """Parameters of the query."""
    headers: dict[Header, HeaderValue] = {}
    """Headers, besides the authentication."""
    body: dict[str, Any] | None = None
    """A JSON body, for POST."""
    form: dict[Name, Scalar] | None = None
    """A form body, for POST."""
    format: Literal["json", "jsonl", "csv"] = "json"
    """The format of responses. Gzip is recognised."""
    archive: Literal["zip"] | None = None
    """Whether the response is a ZIP file with files of the `format` jsonl."""
    records: Path = ""
    """The path of the records in a JSON response: `data.items`; by default the whole response. A single object is one
    record."""
    scalars: Name | None = None
    """The column for records that are plain values: `["a", "b"]`."""
    pagination: Pagination = Pagination()
    """How one page leads to the next."""
    max_pages: int = Field(default=MOST_PAGES, ge=1, le=10_000_000)
    """The most pages of one slice. More are an error."""
    empty_statuses: list[Annotated[int, Field(ge=400, le=499)]] = Field(default=[], max_length=10)
    """Statuses of responses that mean that there are no records, such as 409 for an empty repository."""

    @model_validator(mode="after")
    def _sendable(self) -> Request:
        if self.body is not None and self.form is not None:
            raise fault("bad_option", "a request has a 'body' or a 'form', not both", "remove one")
        if self.method == "GET" and (self.body is not None or self.form is not None):
            raise fault("bad_option", "a GET has no body", "set 'method' to POST")
        if self.method == "GET" and self.pagination.into == "body":
            raise fault("bad_option", "a GET has no body for pagination", "set pagination.into to query or header")
        address_of(self.path)
        for name in self.headers:
            if name.lower() in OWN_HEADERS:
                raise fault("bad_option", f"the header '{name}' is set by the client", "remove it")
        for status in self.empty_statuses:
            if status in NEVER_EMPTY:
                raise fault("bad_option", f"the status {status} never means that there are no records", "remove it")
        if self.archive is not None and (self.format != "jsonl" or self.pagination.type != "none"):
            raise fault("bad_option", "an archive has files of the format jsonl, and no pages", "set 'format' to jsonl")
        if self.format != "json":
            given = self.pagination.next or self.pagination.has_more or self.pagination.total or self.records
            if given or self.scalars:
                raise fault("bad_option", f"an answer in {self.format} has no paths", "use headers, pages or offsets")
        return self


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


class Sent(ClosedConfig):
    """A request of an asynchronous job."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    path: Path
    """The path below the connector's `url`."""
    method: Literal["GET", "POST"] = "POST"
    """The HTTP method."""
    params: dict[Name, Scalar | list[Scalar]] = {}
    """Parameters of the query."""
    headers: dict[Header, HeaderValue] = {}
    """Headers, besides the authentication."""
    body: dict[str, Any] | None = None
    """A JSON body, for POST."""
    values: dict[Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")], Path] = {}
    """Values of the response by path, for placeholders: `{"id": "id"}` for `{job.id}`."""

    @property
    def request(self) -> Request:
        """The request."""
        return Request(path=self.path, method=self.method, params=self.params, headers=self.headers, body=self.body)

    @model_validator(mode="after")
    def _sendable(self) -> Sent:
        if self.method == "GET" and self.body is not None:
            raise fault("bad_option", "a GET has no body", "set 'method' to POST")
        address_of(self.path)
        return self


class Status(Sent):
    """The request for the status of a job."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    method: Literal["GET", "POST"] = "GET"
    """The HTTP method."""
    at: Path
    """The path of the status in the response: `state`."""
    done: list[Name] = Field(min_length=1)
    """The statuses of a job whose results are there."""
    failed: list[Name] = []
    """The statuses of a job that failed."""
    message: Path | None = None
    """The path of the reason in the response."""


class Job(ClosedConfig):
    """An asynchronous job: it is created, its status is polled, and the endpoint's own request gets its results."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    create: Sent
    """The request that creates the job. It is not sent again after it was answered."""
    status: Status | None = None
    """The request for its status; without it, the results are requested until they are there (`notYet`)."""
    download: Name | None = None
    """The value with the complete URL of the results, instead of the endpoint's `path`: `url`. It may be on another
    server, which gets no credentials."""
    not_yet: list[Annotated[int, Field(ge=400, le=499)]] = Field(default=[], max_length=10)
    """Statuses of responses that mean that the results are not there yet."""
    every_seconds: float = Field(default=5, ge=0, le=3600)
    """The pause between two polls."""
    max_minutes: float = Field(default=120, gt=0, le=10_080)
    """The longest time that a job may take."""

    @property
    def at_once(self) -> bool:
        """Whether the results are one response, instead of pages."""
        return self.download is not None or self.status is None

    @model_validator(mode="after")
    def _named(self) -> Job:
        known = {*self.create.values, *(self.status.values if self.status is not None else ())}
        if self.download is not None and self.download not in known:
            raise fault("bad_option", f"there is no value '{self.download}' of the job", nearest(self.download, known))
        if self.status is None and not self.not_yet:
            raise fault("missing_field", "a job has a 'status', or results that are 'notYet' there", "add one of them")
        for status in self.not_yet:
            if status in (401, 429):
                raise fault("bad_option", f"the status {status} does not mean that results are not there yet", "")
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
    return [each for each in problems_of(RestSettings, dict(config)) if not _open(config, each)]


def _open(config: Mapping[str, Any], problem: Problem) -> bool:
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
