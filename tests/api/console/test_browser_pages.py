"""The pages for editing in a real browser: their forms by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from headrace.api.app import BASE_PATH
from tests.api.conftest import IR, Facade, created, emptied
from tests.api.console.browser import MODES, Watched, needs_a_browser, opened, screen
from tests.api.console.people import key_of
from tests.api.console.worlds import World, new_world
from tests.security.served import served

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytest.importorskip("playwright")

pytestmark = [pytest.mark.postgres, pytest.mark.slow, needs_a_browser]


@dataclass(frozen=True)
class Site:
    """A served console with a world, a connector of files and one that takes uploads."""

    base: str
    facade: Facade
    world: World
    files: str
    uploads: str


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with opened() as found:
        yield found


@pytest.fixture(scope="module")
def site(running_facade: Facade, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    facade, folder = emptied(running_facade), tmp_path_factory.mktemp("files")
    (folder / "in").mkdir()
    (folder / "in" / "orders.csv").write_text("id,Amount due,note\n1,2.50,a\n2,3.75,b\n")
    world = new_world(facade, "Orders <b>of the shop</b>")
    facade.editor.post(f"{BASE_PATH}/schemas/{world.schema_id}/data", json={"rows": [{"amount": 1}]})
    facade.pipeline("nightly", schedule="0 2 * * *")
    files = created(
        facade.editor, f"{BASE_PATH}/connectors", {"name": "drop", "type": "local_fs", "config": {"basePath": "in"}}
    )
    uploads = created(facade.editor, f"{BASE_PATH}/connectors", {"name": "uploads", "type": "csv_upload"})
    allowed = (ip_network("127.0.0.0/8"),)
    with served(facade, rate_limit=0, files_root=folder, connector_networks=allowed) as api:
        yield Site(f"http://127.0.0.1:{api.port}", facade, world, files["id"], uploads["id"])


@pytest.fixture
def watched(browser: Browser, site: Site) -> Iterator[Watched]:
    with screen(browser, site.base, MODES[0]) as found:
        found.log_in(key_of(site.facade.admin))
        yield found
        assert [each for each in found.problems if not re.search(r"\b(status of|Code) 4(00|09)\b", each)] == []


def test_a_problem_leads_to_its_line_and_goes_when_it_is_corrected(watched: Watched, site: Site) -> None:
    page = watched.page
    watched.go(f"/pipelines/{site.world.pipeline_id}/edit")
    page.wait_for_selector("text=It can be saved")
    text = page.input_value("#text")
    page.fill("#text", text.replace("field: amount", "field: amuont"))
    page.wait_for_selector(".problem-list .bad")
    page.locator("[data-line]").first.click()
    chosen = page.evaluate("(f => f.value.slice(f.selectionStart, f.selectionEnd))(document.getElementById('text'))")
    assert "amuont" in chosen
    page.fill("#text", text)
    page.wait_for_selector("text=No change.")


def test_a_conflict_keeps_the_text_and_is_resolved(watched: Watched, site: Site) -> None:
    page = watched.page
    made = site.facade.pipeline("edited twice")["id"]
    watched.go(f"/pipelines/{made}/edit")
    theirs = {**IR, "metadata": {"name": "theirs"}}
    assert site.facade.editor.post(f"{BASE_PATH}/pipelines/{made}/ir", json={"ir": theirs}).status_code == 201
    mine = page.input_value("#text").replace("name: orders", "name: mine")
    page.fill("#text", mine)
    page.click("text=Save and publish")
    page.wait_for_selector("text=Nothing was saved")
    assert page.input_value("#text") == mine
    assert "name: theirs" in page.locator(".diff").inner_text()
    page.click("text=Save and publish")
    page.wait_for_selector("text=Version 3 is saved and live")


def test_from_a_connector_to_the_editor_and_back_from_a_refusal(watched: Watched, site: Site) -> None:
    page = watched.page
    watched.go("/pipelines/new")
    page.click("th a:text-is('drop')")
    page.click("text=orders.csv")
    page.wait_for_selector("input[name='into.1']")
    page.fill("input[name='into.1']", "note")
    page.click("text=Write the document")
    page.wait_for_selector("#refused .banner.bad")
    page.fill("input[name='into.1']", "amount")  # what was chosen before is still there
    page.fill("input[name='table']", "guided")
    page.click("text=Write the document")
    page.wait_for_url("**/edit")
    assert "amount: Amount due" in page.input_value("#text")
    page.wait_for_selector("text=It can be saved")


def test_a_connection_is_tested_and_looked_at(watched: Watched, site: Site, tmp_path: Path) -> None:
    page = watched.page
    watched.go(f"/connectors/{site.files}")
    page.click("button:text-is('Test')")
    page.wait_for_selector("text=It works")
    page.click("button:text-is('Look')")
    page.click("#streams button:text-is('orders.csv')")
    page.wait_for_selector("#stream th:has-text('Amount due')")
    page.click("text=Show its first rows")
    page.wait_for_selector("#sampled td:text-is('3.75')")
    watched.go(f"/connectors/{site.uploads}")
    (tmp_path / "sent.csv").write_text("a\n1\n")
    page.set_input_files("#file", tmp_path / "sent.csv")
    page.click("button:text-is('Upload')")
    page.wait_for_selector("th:has-text('sent.csv')")
    page.on("dialog", lambda dialog: dialog.accept())
    page.click("button:has-text('Delete sent.csv')")
    page.wait_for_selector("text=None was uploaded yet")


def test_a_key_is_shown_once_and_revoked(watched: Watched, site: Site) -> None:
    page = watched.page
    watched.go("/keys")
    page.fill("#name", "by hand")
    page.click("text=Make the key")
    assert page.input_value("#made").startswith("hr_")
    watched.go("/keys")
    assert page.locator("#made").count() == 0
    row = page.locator("tr", has=page.locator("th:text-is('by hand')"))
    row.locator("summary").click()
    row.locator("button:has-text('Revoke by hand')").click()
    page.wait_for_load_state()
    assert page.locator("th:text-is('by hand')").count() == 0
    watched.go("/audit")
    page.click("text=Verify the log")
    page.wait_for_selector("text=The log is intact")
