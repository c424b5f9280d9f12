"""A client of the REST API for commands: a method per HTTP verb, complete lists, errors with messages."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import httpx

from headrace.deployments.errors import HeadraceError
from headrace.ir.problems import Problem, nearest

_PAGE = 100
_ATTEMPTS = 4
_LONGEST_WAIT_S = 15.0


class ApiRefused(HeadraceError):
    """The API answered with an error. `problems` are the details of the answer, if any."""

    def __init__(self, status: int, message: str, hint: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message, hint)
        self.status, self.problems = status, tuple(problems)


class Rest:
    """A session with the API; a context manager. Every method raises StackError on failure.

    A request that is refused temporarily (429; 503 for GET) is repeated up to three times.
    """

    def __init__(self, url: str, api_key: str) -> None:
        self.url = url
        # Without TLS, loading the certificate authorities would take as long as most answers.
        tls = not url.startswith("http:")
        self._http = httpx.Client(base_url=url, headers={"X-API-Key": api_key}, timeout=60, verify=tls)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, **query: Any) -> Any:
        return self._ask("GET", path, params=_given(query))

    def post(self, path: str, body: Any = None, headers: dict[str, str] | None = None, **query: Any) -> Any:
        return self._ask("POST", path, json=body, headers=headers, params=_given(query))

    def put(self, path: str, body: Any, **query: Any) -> Any:
        return self._ask("PUT", path, json=body, params=_given(query))

    def delete(self, path: str, **query: Any) -> None:
        self._ask("DELETE", path, params=_given(query))

    def all(self, collection: str, **query: Any) -> list[dict[str, Any]]:
        """All objects of a list, from all its pages."""
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            page = self.get(collection, **query, limit=_PAGE, cursor=cursor)
            found += page["data"]
            cursor = page["pagination"]["cursor"]
            if cursor is None:
                return found

    @contextmanager
    def lines(self, path: str, accept: str) -> Iterator[Iterator[str]]:
        """The text of a long answer in pieces, as it arrives."""
        try:
            with self._http.stream("GET", path, headers={"Accept": accept}) as response:
                if not response.is_success:
                    response.read()
                    raise _refused("GET", path, response)
                yield response.iter_text()
        except httpx.HTTPError as error:
            raise self._away(error) from None

    def _ask(self, method: str, path: str, **content: Any) -> Any:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                response = self._http.request(method, path, **content)
            except httpx.HTTPError as error:
                raise self._away(error) from None
            if response.is_success:
                return response.json() if response.content else None
            passing = response.status_code == 429 or (response.status_code == 503 and method == "GET")
            if not passing or attempt == _ATTEMPTS:
                raise _refused(method, path, response)
            after = response.headers.get("Retry-After", "")
            time.sleep(min(float(after) if after.isdigit() else 1.0, _LONGEST_WAIT_S))
        raise AssertionError("unreachable")

    def _away(self, error: httpx.HTTPError) -> HeadraceError:
        return HeadraceError(
            f"The API at {self.url} does not answer ({type(error).__name__}).",
            "Start a stack with `headrace up`, or say where it is: --url or HEADRACE_URL. `headrace doctor` looks.",
        )


def find_pipeline(rest: Rest, name: str) -> dict[str, Any]:
    """The pipeline of that name, else of that id. Raises StackError with the most similar name."""
    candidates = rest.all("/pipelines", q=name)
    for each in candidates:
        if each["name"] == name:
            return each
    if name.startswith("pipe_"):
        try:
            found: dict[str, Any] = rest.get(f"/pipelines/{name}")
            return found
        except ApiRefused as error:
            if error.status != 404:
                raise
    names = [str(each["name"]) for each in candidates or rest.all("/pipelines")]
    hint = nearest(name, names) if names else "There are no pipelines yet: `headrace apply -f` makes some."
    raise HeadraceError(f"There is no pipeline '{name}'.", hint)


def run_path(rest: Rest, pipeline: str, run_id: str | None) -> str:
    """The path of a run in the API; without an id of the pipeline's newest run. Raises StackError."""
    found = find_pipeline(rest, pipeline)
    return f"/pipelines/{found['id']}/runs/{run_id or newest_run(rest, found)}"


def newest_run(rest: Rest, pipeline: dict[str, object]) -> str:
    """The id of the pipeline's newest run. Raises StackError when it has none."""
    found = rest.get(f"/pipelines/{pipeline['id']}/runs")
    if not found:
        raise HeadraceError(f"The pipeline '{pipeline['name']}' has not run yet.", "`headrace run` starts it.")
    return str(found[0]["id"])


def _given(query: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}


def _refused(method: str, path: str, response: httpx.Response) -> ApiRefused:
    hints = {
        401: "Give a key of this facade: --api-key or HEADRACE_API_KEY; `headrace keys create` makes one.",
        403: "The key's role may not do this; a key of an editor or admin may.",
    }
    problems: list[Problem] = []
    try:
        said = response.json()["error"]
        message = str(said["message"])
        problems = [
            Problem(each["path"], each["code"], each["message"], each.get("hint") or "") for each in said["details"]
        ]
    except (ValueError, KeyError, TypeError):
        message = f"{method} {path} answered {response.status_code}: {response.text[:200]}"
    lines = [f"  {each.path}: {each.message}" + (f" ({each.hint})" if each.hint else "") for each in problems]
    hint = hints.get(response.status_code, "")
    if [each.message for each in problems] == [message]:
        return ApiRefused(response.status_code, message, hint or problems[0].hint, problems)
    return ApiRefused(response.status_code, "\n".join([message, *lines]), hint, problems)
