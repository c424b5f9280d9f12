"""Paths of the API server that take records, as APIs do: state, rejects by index, keys of requests, limits."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.connectors.http.api_server import ApiServer, Asked

Given = dict[str, Any]


@dataclass
class Taking:
    """Takes records at a path. `bad` are those that it rejects, `most` how many it takes at once."""

    most: int = 100
    records_of: Callable[[Any], list[Given]] = lambda body: body["items"]
    status: int = 200
    bad: Callable[[Given], str | None] = lambda record: None
    whole: int | None = None
    """The status with which it refuses a request with a bad record as a whole."""
    keys: str | None = None
    """The header with the key of a request: one that came before is not taken again."""
    taken: list[Given] = field(default_factory=list)
    requests: list[list[Given]] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    after: Callable[[int], None] = lambda number: None
    """Called with the number of the request (from 1) when its records are taken, before it is answered."""

    def put(self, api: ApiServer, path: str) -> Taking:
        """Serves it."""
        api.pages[path] = self
        return self

    def __call__(self, asked: Asked) -> tuple[int, dict[str, str], bytes]:
        text = asked.body
        body = [json.loads(line) for line in text.splitlines()] if "ndjson" in asked.headers["Content-Type"] else None
        records = self.records_of(json.loads(text) if body is None else body)
        if len(records) > self.most:
            return 400, {}, b'{"message": "too many"}'
        said = [(index, message) for index, each in enumerate(records) if (message := self.bad(each)) is not None]
        if said and self.whole is not None:
            return self.whole, {}, json.dumps({"message": said[0][1]}).encode()
        key = asked.headers.get(self.keys or "")
        if self.keys is None or key not in self.seen:
            rejected = {index for index, _ in said}
            self.taken += [each for index, each in enumerate(records) if index not in rejected]
        self.seen.add(str(key))
        self.requests.append(records)
        self.after(len(self.requests))
        errors = [{"index": index, "message": message} for index, message in said]
        return self.status, {}, json.dumps({"message": "success", "errors": errors}).encode()
