"""From a sender's request to a row, on a whole stack: each once, whatever happens to the run."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pytest

from tests.api.hooks.sending import SECRET, github
from tests.conftest import RunningStack
from tests.rest import Api, eventually, process_of

pytestmark = [pytest.mark.stack, pytest.mark.slow]


class Shop(Api):
    """A pipeline that streams what is sent to a webhook of its own."""

    def __init__(self, stack: RunningStack) -> None:
        config = {"mode": "streaming", "parallelism": 2}
        super().__init__(stack, None, source={"connector": "webhook", "config": {}}, execution=config)
        login = {"config": {"verify": "github"}, "authConfig": {"secret": SECRET}}
        made = self.make("/connectors", {"name": f"{self.name}_h", "type": "webhook", **login})
        self.hook, self.hook_url, self.sent = made["id"], made["hookUrl"], 0
        self.body["connectorId"] = self.hook
        self.create()

    def sends(self, many: int) -> None:
        """Each of them twice, as senders do that missed the answer."""
        for number in range(self.sent + 1, self.sent + many + 1):
            body = json.dumps({"amount": number, "note": "n"}).encode()
            answers = [self._put(body, str(number)) for _ in range(2)]
            assert [(each.status_code, each.json()["repeated"]) for each in answers] == [(202, False), (200, True)]
        self.sent += many

    def _put(self, body: bytes, key: str) -> Any:
        # without the API key that this client sends otherwise
        return self.post(self.hook_url, content=body, headers={**github(body, key), "X-API-Key": ""})

    def arrives(self) -> None:
        def amounts() -> list[int]:
            return [amount for (amount,) in self.rows("SELECT amount FROM {table} ORDER BY amount")]

        eventually(lambda: True if len(amounts()) >= self.sent else None)
        assert amounts() == list(range(1, self.sent + 1))

    def waiting(self) -> int:
        tested = self.post(f"/connectors/{self.hook}/test").json()
        assert tested["ok"], tested
        return int(tested["sample"]["waiting"])


def test_what_is_sent_is_a_row_within_seconds_and_once_though_the_run_is_killed(stack: RunningStack) -> None:
    shop = Shop(stack)
    try:
        shop.sends(10)
        first = shop.start()
        shop.arrives()
        shop.sends(10)
        shop.arrives()
        eventually(lambda: True if shop.waiting() == 0 else None)
        os.kill(process_of(shop, first), signal.SIGKILL)
        shop.sends(10)
        shop.arrives()
        eventually(lambda: True if shop.waiting() == 0 else None)
        refused = shop.post(shop.hook_url, content=b"{}", headers={**github(b"", "x"), "X-API-Key": ""})
        assert refused.status_code == 401
        paused = shop.put("/pipelines", json={"id": shop.pipeline, "status": "paused"})
        assert paused.status_code == 200, paused.text
        eventually(lambda: True if all(run["status"] != "running" for run in shop.runs()) else None)
        shop.sends(5)
        assert shop.waiting() == 5
    finally:
        shop.close()
