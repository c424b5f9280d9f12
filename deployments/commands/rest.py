"""The REST API as commands use it: one method per verb, lists as a whole, failures as messages."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import httpx

from deployments.stack.errors import StackError
from ir.problems import Problem

_PAGE = 100
_ATTEMPTS = 4
_LONGEST_WAIT_S = 15.0


class ApiRefused(StackError):
    """The facade answered, and not with success. `problems` are the details of its answer, if it gave some."""

    def __init__(self, status: int, message: str, hint: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message, hint)
        self.status, self.problems = status, tuple(problems)


class Rest:
    """A session with a facade; a context manager. Every method raises StackError for whatever goes wrong.

    A request that was refused for a moment (429; 503 when it only reads) is repeated a few times.
    """

    def __init__(self, url: str, api_key: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, headers={"X-API-Key": api_key}, timeout=60)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, **query: Any) -> Any:
        return self._ask("GET", path, params=_given(query))

    def post(self, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        return self._ask("POST", path, json=body, headers=headers)

    def put(self, path: str, body: Any, **query: Any) -> Any:
        return self._ask("PUT", path, json=body, params=_given(query))

    def delete(self, path: str, **query: Any) -> None:
        self._ask("DELETE", path, params=_given(query))

    def all(self, collection: str, **query: Any) -> list[dict[str, Any]]:
        """Every object of a list, however many pages it has."""
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
        """The lines of a long answer, as they arrive, with their line ends."""
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

    def _away(self, error: httpx.HTTPError) -> StackError:
        return StackError(
            f"The API at {self.url} does not answer ({type(error).__name__}).",
            "Start a stack with `headrace up`, or say where it is: --url or HEADRACE_URL. `headrace doctor` looks.",
        )


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
    text = "\n".join([message, *lines]) if [each.message for each in problems] != [message] else message
    return ApiRefused(response.status_code, text, hints.get(response.status_code, ""), problems)
