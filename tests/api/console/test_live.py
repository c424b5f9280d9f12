"""A browser watches a real run, from the link of `headrace open` to the words about its end, and reports lead back."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from headrace.deployments.stack.environment import base_environment
from tests.api.console.browser import MODES, needs_a_browser, opened, screen
from tests.conftest import RunningStack
from tests.rest import Api

pytestmark = [pytest.mark.stack, pytest.mark.slow, needs_a_browser]

ROWS = 400_000


@pytest.fixture
def api(stack: RunningStack) -> Iterator[Api]:
    text = "amount,note\n" + "".join(f"{number},a\n" for number in range(ROWS - 1)) + "x,c\n"
    api = Api(stack, text, execution={"batchSize": 1000, "parallelism": 1}).create()
    yield api
    api.close()


def test_counts_move_during_a_real_run_and_the_report_in_prefect_leads_to_its_page(
    stack: RunningStack, api: Api
) -> None:
    command = [sys.executable, "-P", "-m", "headrace.deployments.cli.app", "open", "console"]
    command += [f"/pipelines/{api.pipeline}", "--no-browser", "--data-dir", str(stack.data_dir)]
    link = subprocess.run(command, env=base_environment(), capture_output=True, text=True, check=True, timeout=60)
    base = stack.api_url.removesuffix("/api/v1")
    with opened() as browser, screen(browser, base, MODES[0]) as watched:
        page = watched.page
        page.goto(link.stdout.strip())
        page.wait_for_url(f"{base}/pipelines/{api.pipeline}")
        page.click("button:has-text('Run')")
        page.wait_for_url("**/runs/run_*")
        run_id = page.url.rpartition("/")[2]
        seen: list[str] = []
        while page.locator(".banner.amber").count() == 0:
            loaded = page.locator(".legend strong").first
            if loaded.count() and (now := loaded.inner_text()) not in seen:
                seen.append(now)
            page.wait_for_timeout(50)
        assert len(seen) >= 3, "the counts did not move"
        assert page.locator(".legend strong").first.inner_text() == f"{ROWS - 1:,}"
        assert f"1 of {ROWS:,} rows failed" in page.locator(".banner").inner_text()
        assert watched.problems == []
        found = stack.prefect.post("/artifacts/filter", json={"sort": "CREATED_DESC", "limit": 20}).json()
        reports = [each["data"] for each in found if each["type"] == "markdown" and run_id in str(each["data"])]
        assert reports
        assert f"({base}/runs/{run_id})" in reports[0]
        assert f"({base}/runs/{run_id}/errors)" in reports[0]
        watched.go(f"/runs/{run_id}/errors")
        assert page.locator("td:has-text('Expected integer')").count() >= 1
