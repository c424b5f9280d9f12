"""The REST API as the demo uses it: one small function per request, failures as messages."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import httpx

from deployments.stack.errors import StackError
from deployments.stack.state import StackState


class Client:
    """A session with the facade of a running stack; a context manager. Raises StackError for whatever goes wrong."""

    def __init__(self, state: StackState) -> None:
        self._http = httpx.Client(base_url=state.api_url, headers={"X-API-Key": state.api_key}, timeout=60)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, **query: Any) -> Any:
        return self._ask("GET", path, params=query)

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        return self._ask("POST", path, json=body)

    def ensure(self, collection: str, body: dict[str, Any], revision: str) -> tuple[dict[str, Any], bool]:
        """The object of that name and revision in `collection`, and whether it had to be made.

        The revision is kept at the end of the description. An older object of the same name is left alone, and the new
        one gets the revision into its name.
        """
        wanted = f"{body.get('description', '')} (revision {revision})"
        revised = f"{body['name']} {revision}"
        taken = False
        for item in self._all(collection):
            if item["name"] in (body["name"], revised, revised.replace(" ", "_")) and item["description"] == wanted:
                return item, False
            taken = taken or item["name"] == body["name"]
        name = revised if taken else body["name"]
        made: dict[str, Any] = self.post(collection, body | {"name": name, "description": wanted})
        return made, True

    def _all(self, collection: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            query = {"limit": 100} | ({"cursor": cursor} if cursor is not None else {})
            page = self.get(collection, **query)
            found += page["data"]
            cursor = page["pagination"]["cursor"]
            if not page["pagination"]["hasMore"] or cursor is None:
                return found

    def _ask(self, method: str, path: str, **content: Any) -> Any:
        try:
            response = self._http.request(method, path, **content)
        except httpx.HTTPError as error:
            raise StackError(f"{method} {path}: the API does not answer ({error!r}).") from None
        if response.is_success:
            return response.json()
        try:
            problem = response.json()["error"]
            lines = [problem["message"]]
            lines += [
                f"  {d.get('path')}: {d.get('message')} {d.get('hint') or ''}".rstrip() for d in problem["details"]
            ]
        except (ValueError, KeyError, TypeError):
            lines = [response.text[:500]]
        raise StackError(f"{method} {path} answered {response.status_code}: " + "\n".join(lines))
