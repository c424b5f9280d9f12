"""Connectors that come with Headrace pass the conformance tests of sources: pages, results of a job, and a ZIP file."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from headrace.connectors.conformance import SourceConformance
from headrace.connectors.connector import Connector, Context
from headrace.connectors.registry import connectors
from tests.connectors.http.api_server import Failure
from tests.connectors.http.shipped.reading import context
from tests.connectors.http.shipped.records import moment, records
from tests.connectors.http.shipped.salesforce_service import Salesforce, salesforce
from tests.connectors.http.shipped.service import Listing, Service, said, shopify_pages

ROWS = 450


class TestPages(SourceConformance):
    """Orders of Shopify."""

    connector: ClassVar[Connector] = connectors()["shopify"]
    numbers = "id"
    rows = ROWS

    @pytest.fixture(autouse=True)
    def _served(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setattr("headrace.connectors.http.pace.Pace.before", lambda self: None)
        self.service = Service(("X-Shopify-Access-Token", "shpat_abc123"), Failure(429, {"Retry-After": "0"}))
        for stream in ("orders", "products"):
            params = ("limit", "page_info", "status")
            listing = Listing(
                f"/{stream}.json", shopify_pages, 250, params, stream, since="updated_at_min", grows="updated_at"
            )
            made = records("shopify", stream, ROWS)
            self.service.add(listing).rows = [{**each, "updated_at": moment(n)} for n, each in enumerate(made, 1)]
        yield
        self.service.close()

    def context(self) -> Context:
        return context("shopify", self.service, "orders", {"apiKey": "shpat_abc123"}, shop="mine")

    def broken(self) -> Sequence[Context]:
        made = self.context()
        return (
            context("shopify", self.service, "orders", {"apiKey": "not-this-one"}, shop="mine"),
            context("shopify", self.service, "orders", {"apiKey": "shpat_abc123"}),
            replace(made, settings={"endpoint": "oders"}),
            replace(made, settings={"endpoint": "orders", "records": "nothing"}),
        )


@pytest.mark.slow
class TestJob(SourceConformance):
    """A bulk query of Salesforce."""

    connector: ClassVar[Connector] = connectors()["salesforce"]
    numbers = "NumberOfEmployees"
    rows = ROWS
    settings: ClassVar[dict[str, Any]] = {
        "endpoint": "bulk_objects",
        "arguments": {"object": "Account", "fields": "Id, Name, NumberOfEmployees, SystemModstamp"},
    }

    @pytest.fixture(autouse=True)
    def _served(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setattr("headrace.connectors.http.jobs.waited", lambda *given: None)
        with salesforce() as service:
            self.service: Salesforce = service
            service.objects["User"] = []
            made = records("salesforce", "accounts", ROWS)
            service.objects["Account"] = [
                {**each, "NumberOfEmployees": n, "SystemModstamp": moment(n).replace("Z", ".000+0000")}
                for n, each in enumerate(made, 1)
            ]
            yield

    def _context(self, secret: str, **settings: Any) -> Context:
        login = {"clientId": "app", "clientSecret": secret}
        made = context("salesforce", self.service, "bulk_objects", login, instanceUrl=self.service.url)
        return replace(made, settings={**self.settings, **settings})

    def context(self) -> Context:
        return self._context("s3cret")

    def broken(self) -> Sequence[Context]:
        return (
            self._context("not-this-one"),
            self._context("s3cret", arguments={"object": "Account"}),
            self._context("s3cret", maxPages=1),
        )


class TestArchive(SourceConformance):
    """The users of a segment of Braze."""

    connector: ClassVar[Connector] = connectors()["braze"]
    numbers = "random_bucket"
    rows = ROWS

    @pytest.fixture(autouse=True)
    def _served(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setattr("headrace.connectors.http.archive._BLOCK", 1 << 12)
        self.service = Service(("Authorization", "Bearer br-abc123"), Failure(429, {"Retry-After": "0"}))
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for part in range(0, ROWS, 150):
                numbers = range(part + 1, part + 151)
                lines = [json.dumps({"braze_id": f"b{n}", "random_bucket": n, "email": "é@x.org"}) for n in numbers]
                archive.writestr(f"{part:06}.txt", "\n".join(lines))
        self.service.pages["/users/export/segment"] = lambda asked: said(
            201, {"message": "success", "url": f"{self.service.url}/p-1.zip"}
        )
        self.service.pages["/p-1.zip"] = lambda asked: (200, {}, packed.getvalue())
        self.service.pages["/segments/list"] = lambda asked: said(200, {"segments": []})
        yield
        self.service.close()

    def _context(self, key: str, **settings: Any) -> Context:
        made = context("braze", self.service, "users", {"apiKey": key}, restEndpoint=self.service.url)
        return replace(made, settings={"endpoint": "users", "arguments": {"segment_id": "s-1"}, **settings})

    def context(self) -> Context:
        return self._context("br-abc123")

    def broken(self) -> Sequence[Context]:
        return (self._context("not-this-one"), self._context("br-abc123", arguments={}))
