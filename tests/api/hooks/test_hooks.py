"""What is sent to a webhook is stored once, in its order, as it came."""

from __future__ import annotations

import base64
import gzip
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.api.conftest import Facade, created, error_of
from tests.api.hooks.sending import SECRET, digest, github, new_hook, path_of, shopify, spooled, standard, stripe

pytestmark = pytest.mark.postgres


def test_a_record_is_stored_as_it_came_and_has_a_number(facade: Facade) -> None:
    hook = new_hook(facade)
    bodies = [b'{"id": 1, "amount": 1.10}', b"\xff\x00 no text", b'{"id": 2}\n{"id": 3}\n']
    for number, body in enumerate(bodies, 1):
        answer = facade.editor.post(path_of(hook), content=body)
        assert (answer.status_code, answer.json()) == (202, {"id": f"rec_{number}", "repeated": False})
    packed = facade.admin.post(path_of(hook), content=gzip.compress(b"[4]"), headers={"Content-Encoding": "gzip"})
    assert packed.status_code == 202
    assert spooled(facade, hook) == [*enumerate([*bodies, b"[4]"], 1)]


def test_a_connector_shows_where_to_send_to_and_never_its_secret(facade: Facade) -> None:
    hook = new_hook(facade, secret=SECRET, verify="github")
    shown = facade.viewer.get(f"/api/v1/connectors/{hook}")
    assert shown.json()["hookUrl"] == f"http://127.0.0.1:8000/api/v1/hooks/{hook}"
    assert SECRET not in shown.text
    files = created(facade.editor, "/api/v1/connectors", {"name": "f", "type": "local_fs", "config": {}})
    assert "hookUrl" not in files


def test_a_repeated_request_is_answered_as_the_first_and_stored_once(facade: Facade) -> None:
    hook = new_hook(facade)
    once = {"Idempotency-Key": "order-1"}
    assert facade.editor.post(path_of(hook), content=b"[1]", headers=once).status_code == 202
    again = facade.editor.post(path_of(hook), content=b"[1]", headers=once)
    assert (again.status_code, again.json()) == (200, {"id": "rec_1", "repeated": True})
    other = facade.editor.post(path_of(hook), content=b"[2]", headers=once)
    assert "as rec_1" in error_of(other, 409)["message"]
    for _ in range(2):  # without a key nobody can say that it is the same one
        assert facade.editor.post(path_of(hook), content=b"[1]").status_code == 202
    assert [body for _, body in spooled(facade, hook)] == [b"[1]"] * 3


@pytest.mark.parametrize(
    ("where", "bodies", "stored"),
    [
        (
            {"path": "data.id"},
            ['{"data": {"id": 7}, "n": 1}', '{"data": {"id": "8"}}', '{"data": {"id": 7}, "n": 1}'],
            2,
        ),
        ({"body": True}, ["[1]", "[1]", "[2]"], 2),
        ({"header": "X-Id"}, ["[1]", "[1]", "[1]"], 1),
    ],
)
def test_the_key_may_be_in_a_header_or_in_the_body(
    facade: Facade, where: dict[str, Any], bodies: list[str], stored: int
) -> None:
    hook = new_hook(facade, idempotency=where)
    for body in bodies:
        answer = facade.editor.post(path_of(hook), content=body.encode(), headers={"X-Id": "a"})
        assert answer.status_code in (200, 202), answer.text
    assert len(spooled(facade, hook)) == stored
    if "body" not in where:
        missing = facade.editor.post(path_of(hook), content=b'{"other": 1}')
        assert error_of(missing, 400)["details"][0]["code"] == "missing_key"


def test_a_known_key_is_forgotten_when_its_time_is_over(facade: Facade) -> None:
    hook = new_hook(facade, keepKeysHours=1)
    once = {"Idempotency-Key": "k"}
    assert facade.editor.post(path_of(hook), content=b"[1]", headers=once).status_code == 202
    with facade.engine.begin() as connection:
        late = "UPDATE headrace.hook_keys SET received_at = received_at - interval '2 hours' WHERE connector_id = %s"
        connection.exec_driver_sql(late, (hook,))
    assert facade.editor.post(path_of(hook), content=b"[2]", headers=once).json() == {"id": "rec_2", "repeated": False}
    with facade.engine.begin() as connection:
        kept = connection.exec_driver_sql("SELECT keys FROM headrace.hook_spools WHERE connector_id = %s", (hook,))
        assert kept.scalar_one() == 1


def test_every_kind_of_signature(facade: Facade) -> None:
    body, now = b'{"id": "evt_1"}', time.time()
    raw = b"a key of 24 random bytes"
    kinds: list[tuple[dict[str, Any], str, dict[str, str]]] = [
        ({"verify": "github"}, SECRET, github(body, "d-1")),
        ({"verify": "shopify"}, SECRET, shopify(body, "d-1")),
        ({"verify": "stripe"}, SECRET, stripe(body, now)),
        (
            {"verify": "standard"},
            f"whsec_{base64.b64encode(raw).decode()}",
            standard(body, now, "msg_1", raw),
        ),
        ({"verify": "token"}, SECRET, {"Authorization": f"Bearer {SECRET}"}),
        ({"verify": "token", "header": "X-Gitlab-Token"}, SECRET, {"X-Gitlab-Token": SECRET}),
        ({"verify": "hmac_sha256"}, SECRET, {"X-Signature": digest(body).hex()}),
        (
            {
                "verify": "hmac_sha256",
                "signatureHeader": "X-Slack-Signature",
                "signaturePrefix": "v0=",
                "timestampHeader": "X-Slack-Request-Timestamp",
                "signed": "v0:{timestamp}:{body}",
            },
            SECRET,
            {
                "X-Slack-Request-Timestamp": str(int(now)),
                "X-Slack-Signature": "v0=" + digest(b"v0:%d:" % now + body).hex(),
            },
        ),
        (
            {
                "verify": "hmac_sha256",
                "signatureEncoding": "base64",
                "timestampHeader": "X-Time",
                "signed": "{key}.{timestamp}.{body}",
                "idempotency": {"header": "X-Id"},
            },
            SECRET,
            {
                "X-Id": "7",
                "X-Time": str(int(now * 1000)),
                "X-Signature": base64.b64encode(digest(b"7.%d." % int(now * 1000) + body)).decode(),
            },
        ),
    ]
    for config, secret, headers in kinds:
        hook = new_hook(facade, secret=secret, **config)
        first = facade.anonymous.post(path_of(hook), content=body, headers=headers)
        assert first.status_code == 202, (config, first.text)
        changed = facade.anonymous.post(path_of(hook), content=body + b" ", headers=headers)
        if config["verify"] != "token":
            assert error_of(changed, 401)["code"] == "unauthorized"
            assert len(spooled(facade, hook)) == 1
        assert error_of(facade.anonymous.post(path_of(hook), content=body), 401)["message"].endswith("is missing")


def test_the_secret_before_is_accepted_while_senders_change_theirs(facade: Facade) -> None:
    hook = new_hook(facade, secret=SECRET, verify="github")
    both = {"secret": "the-new-one-0123456789", "previousSecret": SECRET}
    assert facade.editor.put("/api/v1/connectors", json={"id": hook, "authConfig": both}).status_code == 200
    for number, secret in enumerate((SECRET, both["secret"])):
        headers = github(b"{}", f"d-{number}", secret)
        assert facade.anonymous.post(path_of(hook), content=b"{}", headers=headers).status_code == 202


@pytest.mark.parametrize(
    ("config", "auth", "code"),
    [
        ({"verify": "github"}, {}, "missing_field"),
        ({"verify": "github"}, {"secret": "short"}, "weak_secret"),
        ({"verify": "github"}, {"secret": SECRET, "other": 1}, "unknown_field"),
        ({"verify": "github", "signed": "{body}"}, {"secret": SECRET}, "bad_option"),
        ({"verify": "hmac_sha256", "signed": "{timestamp}"}, {"secret": SECRET}, "bad_option"),
        ({"verify": "hmac_sha256", "signed": "{timestamp}.{body}"}, {"secret": SECRET}, "bad_option"),
        ({"verify": "hmac_sha256", "signed": "{key}.{body}"}, {"secret": SECRET}, "bad_option"),
        ({"idempotency": {"body": True, "path": "id"}}, {}, "bad_option"),
        ({"keepHeaders": ["Authorization"]}, {}, "bad_option"),
        ({"verify": "token", "header": "X-T", "keepHeaders": ["x-t"]}, {"secret": SECRET}, "bad_option"),
        ({"verfy": "github"}, {}, "unknown_field"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_saved(
    facade: Facade, config: dict[str, Any], auth: dict[str, Any], code: str
) -> None:
    body = {"name": "h", "type": "webhook", "config": config, "authConfig": auth}
    found = error_of(facade.editor.post("/api/v1/connectors", json=body), 400)["details"]
    assert code in {each["code"] for each in found}


def test_concurrent_senders_get_one_number_each_without_gaps(facade: Facade) -> None:
    hook = new_hook(facade)

    def send(number: int) -> str:
        answer = facade.editor.post(path_of(hook), content=json.dumps({"id": number}).encode())
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(send, range(120)))
    found = spooled(facade, hook)
    assert sorted(int(each.removeprefix("rec_")) for each in ids) == [seq for seq, _ in found] == [*range(1, 121)]
    assert sorted(json.loads(body)["id"] for _, body in found) == [*range(120)]


def test_a_deleted_webhook_takes_nothing_more(facade: Facade) -> None:
    hook = new_hook(facade)
    assert facade.editor.post(path_of(hook), content=b"[1]").status_code == 202
    assert facade.editor.delete("/api/v1/connectors", params={"id": hook}).status_code == 204
    error_of(facade.editor.post(path_of(hook), content=b"[1]"), 404)
    assert spooled(facade, hook) == []


def test_the_connection_test_says_what_waits_and_discovery_finds_the_columns(facade: Facade) -> None:
    hook = new_hook(facade, keepHeaders=["X-Event"])
    for number in range(3):
        body = {"id": number, "at": "2026-01-01", "note": "ü"}
        facade.editor.post(path_of(hook), json=body, headers={"X-Event": "made"})
    tested = facade.editor.post(f"/api/v1/connectors/{hook}/test").json()
    assert tested["ok"], tested
    assert tested["message"].startswith("3 records (")
    assert tested["sample"]["waiting"] == 3
    [stream] = facade.editor.get(f"/api/v1/connectors/{hook}/streams").json()["data"]
    assert (stream["name"], stream["rows"]) == ("records", 3)
    found = facade.editor.get(f"/api/v1/connectors/{hook}/stream", params={"name": "records"}).json()
    assert "fields" in found, found
    assert [(each["name"], each["dataType"]) for each in found["fields"]] == [
        ("id", "integer"),
        ("at", "date"),
        ("note", "text"),
    ]
