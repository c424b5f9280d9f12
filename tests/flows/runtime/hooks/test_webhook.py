"""Webhooks: content, signature, refused addresses, and retries."""

from __future__ import annotations

import hashlib
import hmac
import json
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import ValidationError

from headrace.flows.runtime.errors import PlanFailed
from headrace.flows.runtime.hooks.base import HookError, HookMeans
from headrace.flows.runtime.hooks.run import HookFailed
from headrace.flows.runtime.hooks.webhook import run_webhook
from headrace.ir.hooks import WebhookHook
from tests.flows.runtime.hooks.receiving import CONTEXT, Receiver, means, receiver
from tests.flows.runtime.loads import Loads

__all__ = ["receiver"]


def post(hook: WebhookHook, given: HookMeans | None = None) -> tuple[str, list[float]]:
    pauses: list[float] = []
    return run_webhook(hook, CONTEXT, given or means("127.0.0.0/8"), sleep=pauses.append), pauses


def test_it_posts_what_happened_with_a_signature_over_the_bytes(receiver: Receiver) -> None:
    hook = WebhookHook(type="webhook", url=receiver.url, secret_ref="webhookSecret")
    assert post(hook, means("127.0.0.0/8", webhookSecret="s3cret"))[0] == "127.0.0.1 answered 204"
    ((headers, body),) = receiver.got
    document = json.loads(body)
    assert document.pop("sentAt")
    assert document == {
        "event": "post_load",
        "runId": "run_2",
        "pipelineId": "pipe_1",
        "irVersion": 3,
        "target": "tgt",
        "table": "public.ds_orders",
        "loadMode": "append",
        "rows": {"read": 10, "loaded": 8, "failed": 1, "skipped": 1},
        "idempotencyKey": "run_1:tgt:post_load:0:abc",
    }
    digest = hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
    assert headers["X-Headrace-Signature"] == f"sha256={digest}"
    assert (headers["Idempotency-Key"], headers["path"]) == (document["idempotencyKey"], "/loaded?by=headrace")
    assert headers["Host"] == f"127.0.0.1:{receiver.port}"
    assert "s3cret" not in str(receiver.got)


def test_without_a_secret_there_is_no_signature(receiver: Receiver) -> None:
    post(WebhookHook(type="webhook", url=receiver.url))
    assert "X-Headrace-Signature" not in receiver.got[0][0]


def test_a_server_in_trouble_is_asked_again_with_the_same_key_and_bytes(receiver: Receiver) -> None:
    receiver.answers = [503, 429, 200]
    said, pauses = post(WebhookHook(type="webhook", url=receiver.url))
    assert (said, pauses) == ("127.0.0.1 answered 200", [1.0, 2.0])
    assert len(receiver.got) == 3
    assert len({(headers["Idempotency-Key"], body) for headers, body in receiver.got}) == 1


@pytest.mark.parametrize(("status", "asked"), [(500, 3), (400, 1), (404, 1), (302, 1)])
def test_what_does_not_go_well_in_the_end_is_reported(receiver: Receiver, status: int, asked: int) -> None:
    receiver.answers, receiver.location = [status], "http://169.254.169.254/latest/meta-data"
    with pytest.raises(HookError, match=f"127.0.0.1 answered {status}"):
        post(WebhookHook(type="webhook", url=receiver.url))
    assert len(receiver.got) == asked


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:{port}/", "http://localhost:{port}/", "http://[::1]:{port}/", "http://169.254.169.254/latest",
     "http://10.0.0.1/", "http://[::ffff:127.0.0.1]:{port}/", "http://0.0.0.0:{port}/", "http://2130706433:{port}/",
     "http://127.1:{port}/"],
)  # fmt: skip
def test_it_does_not_reach_into_the_servers_network(receiver: Receiver, url: str) -> None:
    with pytest.raises((HookError, ValidationError)):  # a host that is a number is not an address of a document
        post(WebhookHook(type="webhook", url=url.format(port=receiver.port)), means())
    assert receiver.got == []


def test_nobody_there_is_reported(receiver: Receiver) -> None:
    hook = WebhookHook(type="webhook", url="http://127.0.0.1:1/")
    with pytest.raises(HookError, match="ConnectError"):
        post(hook)


def certificate(name: str, folder: Path) -> tuple[Path, Path]:
    """A certificate that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(
            subject, subject, key.public_key(), x509.random_serial_number(), now, now + timedelta(1)
        )
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "cert.pem", folder / "key.pem"
    plain = serialization.NoEncryption()
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, plain)
    )
    return paths


@pytest.mark.parametrize(("name", "trusted"), [("hooks.example", True), ("other.example", False)])
def test_over_tls_the_certificate_must_be_that_of_the_name_not_of_the_address(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, trusted: bool
) -> None:
    cert, key = certificate(name, tmp_path)
    receiver.speak_tls(cert, key)
    monkeypatch.setattr("headrace.connectors.network.web_address.allowed_addresses", lambda *_: ["127.0.0.1"])
    hook = WebhookHook(type="webhook", url=f"https://hooks.example:{receiver.port}/")
    trust = ssl.create_default_context(cafile=str(cert))
    if trusted:
        run_webhook(hook, CONTEXT, means(), trust=trust)
        assert receiver.got[0][0]["Host"] == f"hooks.example:{receiver.port}"
        return
    with pytest.raises(HookError, match="Hostname mismatch"):
        run_webhook(hook, CONTEXT, means(), trust=trust, sleep=lambda seconds: None)
    assert receiver.got == []


@pytest.mark.postgres
def test_a_webhook_says_what_was_loaded_and_only_once_it_is_visible(loads: Loads, receiver: Receiver) -> None:
    loads.credentials = {"webhookSecret": "x"}
    loads.write("id,name,amount\n1,a,1\n2,b,two\n3,c,3\n")
    hook = {"type": "webhook", "url": receiver.url, "secretRef": "webhookSecret"}
    loads.run(loadMode="blue_green", preHook=hook, postHook=[hook, {"type": "sql", "statement": "ANALYZE {table}"}])
    before, after = (json.loads(body) for _, body in receiver.got)
    assert (before["event"], before["rows"]) == ("pre_load", None)
    assert (after["event"], after["rows"]) == ("post_load", {"read": 3, "loaded": 2, "failed": 1, "skipped": 0})
    assert before["idempotencyKey"] != after["idempotencyKey"]
    order = [line.split(" (")[0] for line in loads.recorder.lines if "Hook" in line or "rows loaded" in line]
    assert order == ["preHook 1 of tgt", "postHook 2 of tgt", order[2], "postHook 1 of tgt"]


@pytest.mark.postgres
def test_a_webhook_nobody_answers_fails_the_run_and_a_retry_asks_again(loads: Loads, receiver: Receiver) -> None:
    receiver.answers = [410]
    loads.numbers(4)
    hook = {"type": "webhook", "url": receiver.url}
    with pytest.raises(HookFailed, match=r"answered 410. 4 rows are loaded into public.ds_orders"):
        loads.run(postHook=hook)
    receiver.answers = [200]
    assert loads.run("run_2", root="run_1", postHook=hook).rows_out == 4
    keys = {headers["Idempotency-Key"] for headers, _ in receiver.got}
    assert (len(receiver.got), len(keys), len(loads.table())) == (2, 1, 4)


@pytest.mark.postgres
def test_a_secret_that_is_not_there_stops_the_run_before_it_begins(loads: Loads, receiver: Receiver) -> None:
    loads.numbers(1)
    with pytest.raises(PlanFailed) as caught:
        loads.run(postHook={"type": "webhook", "url": receiver.url, "secretRef": "webhookSecret"})
    assert [(problem.path, problem.code) for problem in caught.value.problems] == [
        ("nodes[1].postHook.secretRef", "unknown_secret")
    ]
