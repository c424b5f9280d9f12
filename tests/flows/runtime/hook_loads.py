"""Runs of a pipeline of the catalog that reads a webhook."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from headrace.catalog.runs.records import ConnectorRecord
from headrace.flows.resume.continuation import Continuation
from headrace.flows.runtime.job import Job
from tests.catalog.hooks.spools import Spools
from tests.databases import Roles, in_public
from tests.flows.runtime.stream_loads import Loads


class HookLoads(Loads):
    """`hook` is read into the table; the pipeline is one of the catalog."""

    def __init__(self, url: str, run_url: str, hook: str, target: Mapping[str, Any], **settings: Any) -> None:
        super().__init__(ConnectorRecord(hook, "webhook", {}, {}), url, settings, target)
        self.run_url, self.hook = run_url, hook

    @classmethod
    def made(cls, roles: Roles, spools: Spools, target: Mapping[str, Any], **settings: Any) -> HookLoads:
        """With a new webhook and a new pipeline."""
        loads = cls(in_public(roles.tenant), roles.run, spools.make(), target, **settings)
        ir = {"kind": "pipeline", "version": "1.0", "id": "p", "metadata": {"name": "P"}, "nodes": loads.nodes}
        loads.pipeline = spools.pipeline(loads.hook, ir)
        return loads

    def job(self, continues: Continuation | None = None, **execution: Any) -> Job:
        return replace(super().job(continues, **execution), catalog_url=self.run_url)


def value(number: int) -> bytes:
    """One of 25 is no JSON."""
    return b"{" if number % 25 == 24 else b'{"id": %d, "amount": %d}' % (number, number * 2)


def good(numbers: range) -> list[tuple[int, int]]:
    return [(number, number * 2) for number in numbers if number % 25 != 24]
