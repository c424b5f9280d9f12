"""What is sent to webhooks by those who may not, too often, too late, too large."""

from __future__ import annotations

import gzip
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient

from headrace.api.app import create_app
from tests.api.conftest import Facade, LocalOrchestrator, created, error_of, settings_for
from tests.api.hooks.sending import SECRET, digest, github, new_hook, path_of, shopify, spooled, standard, stripe

pytestmark = pytest.mark.postgres
BODY = b'{"id": "evt_1"}'
_LIMITS = {"unauthenticated_limit": 8, "max_hook_records": 5, "max_hook_bytes": 4096, "max_hook_keys": 3}


@pytest.fixture
def small(facade: Facade, facade_url: str) -> Iterator[TestClient]:
    """The same API with low limits."""
    with TestClient(
        create_app(settings_for(facade_url, **_LIMITS), orchestrator=LocalOrchestrator()),
        raise_server_exceptions=False,
    ) as client:
        yield client


def post(client: TestClient, hook: str, body: bytes = BODY, **headers: str) -> Any:
    return client.post(path_of(hook), content=body, headers={name.replace("_", "-"): v for name, v in headers.items()})


SIGNED: dict[str, dict[str, str]] = {
    "github": {
        "without prefix": digest(BODY).hex()[:-1],
        "another secret": "sha256=" + digest(BODY, "another-secret-012345").hex(),
        "sha1": "sha1=" + "0" * 40,
        "empty": "",
        "not hex": "sha256=" + "z" * 64,
        "other letters": "sha256=é" + "0" * 63,
        "many": "sha256=" + ",".join([digest(BODY).hex()] * 2),
    },
    "shopify": {"hex": digest(BODY).hex(), "empty": "", "padding": "===="},
}
_HEADER = {"github": "X-Hub-Signature-256", "shopify": "X-Shopify-Hmac-Sha256"}


@pytest.mark.parametrize("kind", SIGNED)
def test_a_signature_that_is_not_the_bodys_is_refused(facade: Facade, kind: str) -> None:
    hook = new_hook(facade, secret=SECRET, verify=kind)
    for what, given in SIGNED[kind].items():
        answer = facade.anonymous.post(path_of(hook), content=BODY, headers=[(_HEADER[kind].encode(), given.encode())])
        assert error_of(answer, 401)["message"].endswith("is not valid"), what
        assert SECRET not in answer.text
    assert spooled(facade, hook) == []


def test_an_api_key_does_not_replace_a_signature_nor_a_signature_a_key(facade: Facade) -> None:
    signed, keyed = new_hook(facade, secret=SECRET, verify="github"), new_hook(facade)
    error_of(facade.admin.post(path_of(signed), content=BODY), 401)
    error_of(facade.anonymous.post(path_of(keyed), content=BODY, headers=github(BODY, "d")), 401)
    token = new_hook(facade, secret=SECRET, verify="token")
    for given in ("", "Bearer", f"Basic {SECRET}", f"Bearer {SECRET}x", SECRET[:-1], f"{SECRET} "):
        answer = post(facade.anonymous, token, Authorization=given)
        if given.strip() != SECRET:
            error_of(answer, 401)


def test_a_captured_request_is_worth_nothing_later_and_stored_once_before(
    facade: Facade, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = time.time()
    raw = b"0123456789-0123456789-01"
    timed = {
        "stripe": (SECRET, stripe(BODY, began)),
        "standard": ("whsec_MDEyMzQ1Njc4OS0wMTIzNDU2Nzg5LTAx", standard(BODY, began, "msg_1", raw)),
    }
    for kind, (secret, headers) in timed.items():
        hook = new_hook(facade, secret=secret, verify=kind, toleranceSeconds=60)
        for status in (202, 200, 200):
            answer = facade.anonymous.post(path_of(hook), content=BODY, headers=headers)
            assert answer.status_code == status, answer.text
        for away in (61, -62, 10**9):
            with monkeypatch.context() as patched:
                patched.setattr(time, "time", lambda away=away: began + away)
                late = facade.anonymous.post(path_of(hook), content=BODY, headers=headers)
            assert "differs from the server's by more than 60 s" in error_of(late, 401)["message"]
        assert len(spooled(facade, hook)) == 1


@pytest.mark.parametrize("stamp", ["", "-1", "1e9", "NaN", "\u0661\u0662", "9" * 400, "1.5", "0x10", " ", "12;13"])
def test_a_time_that_is_none_is_refused_though_it_is_signed(facade: Facade, stamp: str) -> None:
    hook = new_hook(facade, secret=SECRET, verify="hmac_sha256", timestampHeader="X-Time")
    mac = digest(stamp.strip().encode() + b"." + BODY).hex()
    headers = [(b"X-Time", stamp.encode()), (b"X-Signature", mac.encode())]
    error_of(facade.anonymous.post(path_of(hook), content=BODY, headers=headers), 401)
    assert spooled(facade, hook) == []


def test_a_body_is_bounded_also_after_it_is_decompressed(facade: Facade) -> None:
    hook = new_hook(facade)
    most = facade.app.state.services.settings.max_body_bytes
    error_of(post(facade.editor, hook, b"x" * (most + 1)), 413)

    def chunks() -> Iterator[bytes]:
        for _ in range(most // 65536 + 2):
            yield b"x" * 65536

    error_of(facade.editor.post(path_of(hook), content=chunks()), 413)
    bomb = gzip.compress(b"0" * (200 << 20))
    tracemalloc.start()
    try:
        answer = post(facade.editor, hook, bomb, Content_Encoding="gzip")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    error_of(answer, 413)
    assert peak < 32 << 20
    packed = gzip.compress(BODY)
    for bad in (packed[:-3], packed + packed, packed + b"x", b"no gzip", b""):
        error_of(post(facade.editor, hook, bad, Content_Encoding="gzip"), 400)
    for other in ("br", "deflate", "gzip, gzip", "zstd"):
        error_of(post(facade.editor, hook, packed, Content_Encoding=other), 415)
    assert spooled(facade, hook) == []


def test_a_compressed_body_is_verified_before_it_is_decompressed(facade: Facade) -> None:
    hook = new_hook(facade, secret=SECRET, verify="github")
    packed = gzip.compress(BODY)
    headers = github(packed, "d") | {"Content-Encoding": "gzip"}
    assert facade.anonymous.post(path_of(hook), content=packed, headers=headers).status_code == 202
    wrong = github(BODY, "e") | {"Content-Encoding": "gzip"}
    error_of(facade.anonymous.post(path_of(hook), content=packed, headers=wrong), 401)
    assert [body for _, body in spooled(facade, hook)] == [BODY]


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 200_000,
        b'{"id": ' * 50_000,
        b'{"id": NaN}',
        b'{"id": "\\u0000"}',
        b'{"id": []}',
        b"\xff",
        b'{"id": true}',
    ],
)
def test_a_body_without_a_usable_key_is_refused_and_not_stored(facade: Facade, body: bytes) -> None:
    hook = new_hook(facade, idempotency={"path": "id"})
    error_of(post(facade.editor, hook, body), 400)
    assert spooled(facade, hook) == []


def test_keys_are_bounded_in_length_and_number(facade: Facade, small: TestClient) -> None:
    hook = new_hook(facade)
    key = {"X-API-Key": facade.editor.headers["X-API-Key"]}
    for bad in ("k" * 501, "", " "):
        error_of(small.post(path_of(hook), content=BODY, headers=key | {"Idempotency-Key": bad}), 400)
    statuses = [
        small.post(path_of(hook), content=b"%d" % at, headers=key | {"Idempotency-Key": f"k{at}"}) for at in range(5)
    ]
    assert [each.status_code for each in statuses] == [202, 202, 202, 429, 429]
    assert int(statuses[-1].headers["Retry-After"]) > 0
    again = small.post(path_of(hook), content=b"0", headers=key | {"Idempotency-Key": "k0"})
    assert again.json() == {"id": "rec_1", "repeated": True}
    assert len(spooled(facade, hook)) == 3


def test_one_key_sent_by_many_at_once_is_one_record(facade: Facade) -> None:
    hook = new_hook(facade)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: post(facade.editor, hook, Idempotency_Key="k"), range(40)))
    assert sorted(each.status_code for each in found) == [200] * 39 + [202]
    assert {each.json()["id"] for each in found} == {"rec_1"}
    assert len(spooled(facade, hook)) == 1


def test_a_full_spool_refuses_and_loses_nothing(facade: Facade, small: TestClient) -> None:
    by_number, by_size = new_hook(facade), new_hook(facade)
    key = facade.editor.headers["X-API-Key"]
    sent = [post(small, by_number, b"%d" % at, X_API_Key=key) for at in range(7)]
    assert [each.status_code for each in sent] == [202] * 5 + [429] * 2
    assert sent[-1].headers["Retry-After"] == "10"
    sizes = [post(small, by_size, b"x" * 1500, X_API_Key=key).status_code for _ in range(4)]
    assert sizes == [202, 202, 429, 429]
    assert post(small, by_size, b"small", X_API_Key=key).status_code == 202
    assert len(spooled(facade, by_number)) == 5


def test_a_foreign_webhook_is_answered_as_one_that_does_not_exist(facade: Facade) -> None:
    hook = new_hook(facade)
    files = created(facade.editor, "/api/v1/connectors", {"name": "files", "type": "local_fs", "config": {}})["id"]
    missing = ["conn_" + "0" * 32, "x", "%00", "conn_%2e%2e", hook.upper(), files]

    def answer(client: TestClient, hook_id: str) -> dict[str, Any]:
        response = client.post(path_of(hook_id), content=BODY)
        return error_of(response, response.status_code) | {"requestId": ""}

    for unknown in missing:
        assert answer(facade.foreign, unknown) == answer(facade.foreign, hook)
        assert answer(facade.anonymous, unknown) == answer(facade.anonymous, hook)
        assert answer(facade.editor, unknown)["status"] == 404
    assert answer(facade.foreign, hook)["status"] == 404
    assert answer(facade.anonymous, hook)["status"] == 401
    assert answer(facade.viewer, hook)["status"] == 403
    assert spooled(facade, hook) == []


def test_many_wrong_signatures_lock_their_address_out_and_not_the_sender(facade: Facade, small: TestClient) -> None:
    hook = new_hook(facade, secret=SECRET, verify="github")
    wrong = [small.post(path_of(hook), content=BODY, headers=github(b"", "d")).status_code for _ in range(12)]
    assert wrong == [401] * 8 + [429] * 4
    assert small.post(path_of("conn_" + "1" * 32), content=BODY).status_code == 429
    assert small.post(path_of(hook), content=BODY, headers=github(BODY, "d")).status_code == 202


def test_requests_of_a_webhook_are_bounded(facade: Facade, facade_url: str) -> None:
    hook, other = new_hook(facade), new_hook(facade)
    settings = settings_for(facade_url, hook_rate_limit=3)
    with TestClient(create_app(settings, orchestrator=LocalOrchestrator())) as client:
        key = facade.editor.headers["X-API-Key"]
        sent = [post(client, hook, b"%d" % at, X_API_Key=key) for at in range(5)]
        assert [each.status_code for each in sent] == [202] * 3 + [429] * 2
        assert int(sent[-1].headers["Retry-After"]) > 0
        assert post(client, other, X_API_Key=key).status_code == 202


def test_a_changed_secret_holds_when_the_cache_is_over(facade: Facade, facade_url: str) -> None:
    hook = new_hook(facade, secret=SECRET, verify="github")
    with TestClient(create_app(settings_for(facade_url, key_cache_s=0), orchestrator=LocalOrchestrator())) as client:
        assert client.post(path_of(hook), content=BODY, headers=github(BODY, "a")).status_code == 202
        changed = {"id": hook, "authConfig": {"secret": "another-secret-012345"}}
        assert facade.editor.put("/api/v1/connectors", json=changed).status_code == 200
        error_of(client.post(path_of(hook), content=BODY, headers=github(BODY, "b")), 401)


def test_neither_secrets_nor_bodies_are_logged_or_kept_beside_the_record(
    facade: Facade, capfd: pytest.CaptureFixture[str]
) -> None:
    hook = new_hook(facade, secret=SECRET, verify="shopify", keepHeaders=["X-Shopify-Topic"])
    body = b'{"card": "4111111111111111"}'
    headers = shopify(body, "d") | {
        "X-Shopify-Topic": "orders",
        "Cookie": "session=c00kie",
        "Authorization": "Bearer b",
    }
    assert facade.anonymous.post(path_of(hook), content=body, headers=headers).status_code == 202
    query = "SELECT headers, key FROM headrace.hook_records WHERE connector_id = %s"
    with facade.engine.begin() as connection:
        assert connection.exec_driver_sql(query, (hook,)).all() == [('{"X-Shopify-Topic":"orders"}', "d")]
    said = "".join(capfd.readouterr())
    assert not any(secret in said for secret in (SECRET, "4111", "c00kie", headers["X-Shopify-Hmac-Sha256"]))


def test_the_url_of_a_sender_is_never_requested(facade: Facade) -> None:
    """It is for people: a test of the connection dials nothing, whatever the address is."""
    hook = new_hook(facade, url="http://169.254.169.254/latest/meta-data")
    tested = facade.editor.post(f"/api/v1/connectors/{hook}/test").json()
    assert (tested["ok"], tested["message"]) == (True, "0 records (0 bytes) waiting")
