"""Checks of connectors: the connection test of each, made by the API, which reaches what runs reach."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from headrace.deployments.cli.doctor.finding import Finding
from headrace.deployments.cli.doctor.slots import slots

_MOST = 50
"""Connectors that are tested; the rest is counted."""
_AT_ONCE = 3
_TEST_TIMEOUT_S = 60.0
"""Longer than the API lets a connection test take."""


def connectors(url: str | None, key: str | None) -> Iterator[Finding]:
    """Tests the connectors of the key's tenant. Errors of the API or the key are reported by `services.api`. A key that
    may not test connections gives a warning."""
    if url is None or key is None:
        return
    base = url.rstrip("/").removesuffix("/api/v1")
    headers = {"X-API-Key": key}
    with httpx.Client(base_url=f"{base}/api/v1", timeout=_TEST_TIMEOUT_S, headers=headers) as client:
        try:
            listed = client.get("/connectors", params={"limit": _MOST})
        except httpx.HTTPError:
            return
        if not listed.is_success:
            return
        answer = listed.json()
        types = client.get("/connector-types")
        testable = {each["type"] for each in types.json()["data"] if each["testable"]} if types.is_success else set()
        found = [each for each in answer["data"] if each["type"] in testable]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for findings in pool.map(lambda each: [*_tested(client, each)], found):
                yield from findings
    more = answer["pagination"]["total"] - len(answer["data"])
    if more > 0:
        remedy = "POST /connectors/{id}/test tests one of them."
        yield Finding("connector", "warning", f"{more} more are not tested here", remedy)


def _tested(client: httpx.Client, connector: dict[str, Any]) -> Iterator[Finding]:
    name = f"{connector['name']} ({connector['type']})"
    try:
        response = client.post(f"/connectors/{connector['id']}/test")
    except httpx.HTTPError as error:
        yield Finding("connector", "warning", f"{name}: the test did not end ({type(error).__name__})")
        return
    if response.status_code == 403:
        yield Finding("connector", "warning", f"{name}: not tested", "Tests need the key of an editor or an admin.")
        return
    if not response.is_success:
        yield Finding("connector", "warning", f"{name}: the API answered {response.status_code} to its test")
        return
    result = response.json()
    if result["ok"]:
        yield Finding("connector", "ok", f"{name}: {result['message']}")
        yield from slots(client, connector["name"], (result.get("sample") or {}).get("slots", ()))
        return
    remedy = "Correct its config or its credentials; runs that read through it fail."
    yield Finding("connector", "warning", f"{name}: {result['message']}", remedy)
