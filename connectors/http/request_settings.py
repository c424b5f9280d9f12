"""One request of an HTTP API as settings: its path, parameters and body, and how one page leads to the next."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from headrace.connectors.specs.base import ClosedConfig
from headrace.ir.problems import fault

Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Path = Annotated[str, StringConstraints(max_length=2000)]
Scalar = str | int | float | bool | None
Header = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$")]
HeaderValue = Annotated[str, StringConstraints(pattern=r"^[\x20-\x7e]*$", max_length=4000)]

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
    always: bool = False
    """The token, or its header, is in every response, null or empty in the last: a missing one is an error, and not the
    end."""
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
        if self.always and (self.type != "cursor" or self.next_from_record is not None):
            raise fault("bad_option", "'always' is for tokens in a response", "remove it")
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
    format: Literal["json", "jsonl", "csv", "xml"] = "json"
    """The format of responses. Gzip is recognised."""
    archive: Literal["zip"] | None = None
    """Whether the response is a ZIP file with files of the `format` jsonl."""
    records: Path = ""
    """The path of the records in a JSON response: `data.items`; by default the whole response. A single object is one
    record. In XML, the element of a record: `order`, or `orders/order`."""
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
        if self.format == "xml" and not self.records.strip("/"):
            raise fault("missing_field", "in XML, 'records' names the element of a record", "write orders/order")
        if self.format != "json":
            given = self.pagination.next or self.pagination.has_more or self.pagination.total
            if given or self.scalars or (self.records and self.format != "xml"):
                raise fault("bad_option", f"an answer in {self.format} has no paths", "use headers, pages or offsets")
        return self
