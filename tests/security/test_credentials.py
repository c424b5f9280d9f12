"""No credential is disclosed through a document: each can be used only for its purpose, and salts are keyed."""

from __future__ import annotations

import hashlib
import hmac
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.api.connectors.secrets import split_secrets
from headrace.api.subprocesses.pool import SubprocessPool
from headrace.catalog.settings import Settings
from headrace.connectors import registry
from headrace.connectors.connector import Connection
from headrace.connectors.specs import CONNECTOR_TYPES, ConnectorType
from headrace.connectors.specs.base import ClosedConfig
from headrace.flows.compile import logical_plan
from headrace.flows.compile.hashing import hashed
from headrace.flows.compile.scope import Scope
from headrace.flows.enrich import ProviderAccess
from headrace.flows.enrich.client import ProviderClient
from headrace.flows.enrich.provider import Request, Unanswered
from headrace.flows.runtime.errors import PlanFailed
from headrace.flows.runtime.hooks import run as hooks_module
from headrace.flows.runtime.hooks.base import HookMeans
from headrace.flows.runtime.input.sources import source_of
from headrace.flows.runtime.prepare import prepare
from headrace.ir import parse_ir
from headrace.ir.json_schema import document_schema
from headrace.ir.nodes import TargetNode
from headrace.ir.providers import HttpConfig
from headrace.ir.redaction import redact, secret_texts
from headrace.ir.schema import Field
from headrace.ir.secrets import (
    PURPOSES,
    connection_credentials,
    credential_problems,
    credentials_of_purpose,
    document_credentials,
)
from tests.api.conftest import Facade, created, error_of
from tests.effort import examples
from tests.flows.enrich.stranger import LOOPBACK, Said, stranger
from tests.flows.pipelines import SCHEMA, document
from tests.flows.runtime.graphs.world import source, target, transform
from tests.flows.runtime.runs import Runner

PASSWORD = "correct horse battery staple"
SALT = "0123456789abcdef0123456789abcdef"
CREDENTIALS = {
    "username": "reader",
    "password": PASSWORD,
    "secretAccessKey": PASSWORD,
    "token": PASSWORD,
    "privateKey": PASSWORD,
    "saltPeople": SALT,
    "webhookSecret": SALT,
    "enrichApiKey": {"value": SALT, "hosts": ["api.example.com"]},
}
OTHERS = ["password", "secretAccessKey", "token", "privateKey", "webhookSecret", "enrichApiKey", "Salt", "_salt"]


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize(
    "op", [{"type": "hash", "fields": ["name"]}, {"type": "mask_pii", "field": "name", "strategy": "tokenize"}]
)
def test_an_op_names_nothing_but_salts(op: dict[str, Any], name: str) -> None:
    (problem,) = parse_ir(document([{**op, "salt": f"${{credentials.{name}}}"}])).problems
    assert (problem.path, problem.code) == ("nodes[1].ops[0].salt", "invalid_secret")


def enriching(config: dict[str, Any]) -> dict[str, Any]:
    raw = document()
    ask = {"id": "ask", "kind": "enrich", "input": "src", "provider": "http", "fields": ["name"], "outputField": "x"}
    raw["nodes"].insert(1, {**ask, "config": config})
    raw["nodes"][-1]["input"] = "ask"
    return raw


@pytest.mark.parametrize("name", ["password", "saltPeople", "webhookSecret", "token"])
def test_a_provider_is_sent_nothing_but_its_own_key(name: str) -> None:
    config = {"url": "https://evil.example.org/{name}", "apiKey": f"${{credentials.{name}}}"}
    (problem,) = parse_ir(enriching(config)).problems
    assert (problem.path, problem.code) == ("nodes[1].config.apiKey", "invalid_secret")


@pytest.mark.parametrize("name", ["password", "saltPeople", "enrichApiKey", "token"])
def test_a_webhook_signs_with_nothing_but_its_own_secret(name: str) -> None:
    raw = document()
    raw["nodes"][-1]["postHook"] = {"type": "webhook", "url": "https://evil.example.org", "secretRef": name}
    (problem,) = parse_ir(raw).problems
    assert (problem.path, problem.code) == ("nodes[1].postHook.secretRef", "invalid_secret")


@pytest.mark.parametrize("algorithm", ["md5", "xxh3_64"])
def test_no_fast_hash_takes_a_secret(algorithm: str) -> None:
    op = {"type": "hash", "fields": ["name"], "algorithm": algorithm, "salt": "${credentials.saltPeople}"}
    (problem,) = parse_ir(document([op])).problems
    assert (problem.code, "sha256" in problem.hint) == ("salt_needs_hmac", True)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@settings(max_examples=examples(30))
@given(
    values=st.lists(st.none() | st.text(st.characters(blacklist_categories=("Cs",)), max_size=200), max_size=6),
    salt=st.text(st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=300),
)
def test_a_salted_hash_is_the_standard_hmac(algorithm: str, values: list[str | None], salt: str) -> None:
    frame = pl.DataFrame({"t": pl.Series(values, dtype=pl.String)})
    expected = [None if v is None else hmac.new(salt.encode(), v.encode(), algorithm).hexdigest() for v in values]
    found = frame.lazy().select(hashed(pl.col("t"), algorithm, salt).alias("t")).collect()
    assert found["t"].to_list() == expected


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_plan_never_shows_a_salt(algorithm: str) -> None:
    expression = hashed(pl.col("t"), algorithm, SALT)
    for pad in (0, 0x36, 0x5C):
        shown = "".join(chr(ord(letter) ^ pad) for letter in SALT[:8])
        assert shown not in str(expression)
        assert shown not in pl.LazyFrame({"t": ["a"]}).select(expression).explain()


@pytest.mark.parametrize("salt", ["short", "aaaaaaaaaaaaaaaaaaaaaaaa", "", 12345678901234567890, ["a" * 20], None])
def test_a_salt_that_can_be_guessed_is_none(salt: Any) -> None:
    op = {"type": "hash", "fields": ["name"], "salt": "${credentials.saltPeople}"}
    ir = parse_ir(document([op])).ir
    assert ir is not None
    (problem,) = logical_plan(ir, {"src": SCHEMA}, {}, secrets={"saltPeople": salt}).problems
    assert problem.path == "nodes[1].ops[0].salt"
    assert problem.code in ("weak_secret", "unknown_secret")
    assert str(salt) not in problem.message + problem.hint or not salt


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://api.example.com/v1?q={name}", True),
        ("https://API.example.com:443/{name}", True),
        ("https://api.example.com./{name}", True),
        ("http://api.example.com/{name}", False),
        ("https://api.example.com:8443/{name}", False),
        ("https://api.example.com.evil.org/{name}", False),
        ("https://evil.org/api.example.com/{name}", False),
        ("https://xapi.example.com/{name}", False),
    ],
)
def test_a_providers_key_goes_to_the_hosts_it_was_given_for(url: str, allowed: bool) -> None:
    ir = parse_ir(enriching({"url": url, "apiKey": "${credentials.enrichApiKey}"})).ir
    assert ir is not None
    schema = {"src": (Field("name", "text"),)}
    problems = logical_plan(ir, schema, {}, secrets=CREDENTIALS, providers=ProviderAccess()).problems
    assert [(each.path, each.code) for each in problems] == (
        [] if allowed else [("nodes[1].config.url", "host_not_declared")]
    )
    assert SALT not in str(problems)


@pytest.mark.parametrize("key", [SALT, {"value": SALT}, {"value": SALT, "hosts": []}, {"value": SALT, "hosts": ["*"]}])
def test_a_providers_key_without_hosts_is_sent_nowhere(key: Any) -> None:
    ir = parse_ir(enriching({"url": "https://api.example.com/{name}", "apiKey": "${credentials.enrichApiKey}"})).ir
    assert ir is not None
    schema = {"src": (Field("name", "text"),)}
    (problem,) = logical_plan(ir, schema, {}, secrets={"enrichApiKey": key}, providers=ProviderAccess()).problems
    assert (problem.code, '"hosts"' in problem.hint) == ("unbound_key", True)
    assert credential_problems({"enrichApiKey": key})[0].code == "unbound_key"


def test_each_part_is_given_its_own_credentials_and_no_others() -> None:
    assert set(connection_credentials(CREDENTIALS)) == {
        "username",
        "password",
        "secretAccessKey",
        "token",
        "privateKey",
    }
    assert set(document_credentials(CREDENTIALS)) == {"saltPeople", "webhookSecret", "enrichApiKey"}
    assert set(credentials_of_purpose("webhook", CREDENTIALS)) == {"webhookSecret"}


def test_no_connector_type_has_a_setting_that_a_document_could_name() -> None:
    for known in CONNECTOR_TYPES.values():
        for name in (*known.config_schema["properties"], *known.auth_schema["properties"]):
            assert not name.startswith(PURPOSES), (known.name, name)


def test_the_published_schema_says_the_same() -> None:
    text = json.dumps(document_schema())
    assert "credentials\\\\.salt" in text
    assert "credentials\\\\.enrich" in text
    assert r"credentials\\.([A-Za-z_]" not in text


@pytest.fixture
def runner(tmp_path: Path, database_url: str) -> Runner:
    (tmp_path / "in.csv").write_text("id,name\n1,Ann\n")
    return Runner(tmp_path, database_url, dict(CREDENTIALS))


FIELDS = {"id": "integer", "name": "text"}


@pytest.mark.postgres
def test_a_stored_document_from_before_fails_with_the_remedy_and_computes_nothing(runner: Runner) -> None:
    for op, code in (
        ({"type": "hash", "fields": ["name"], "algorithm": "md5", "salt": "${credentials.saltPeople}"}, "sha256"),
        ({"type": "hash", "fields": ["name"], "salt": "${credentials.password}"}, "saltPeople"),
    ):
        nodes = [source("in.csv", FIELDS), transform("clean", "src", op), target("tgt", "clean", "t")]
        with pytest.raises(PlanFailed) as caught:
            prepare(runner.job(nodes))
        assert code in str(caught.value)
        assert PASSWORD not in str(caught.value)


@pytest.mark.postgres
def test_hooks_sources_and_tests_of_connections_see_their_own_part(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    with psycopg.connect(runner.url) as connection:
        connection.execute("CREATE TABLE public.t (id integer, name text)")
    nodes = [source("in.csv", FIELDS), target("tgt", "src", "t")]
    prepared = prepare(runner.job(nodes))
    (loaded,) = (node for node in prepared.ir.nodes if isinstance(node, TargetNode))
    assert set(hooks_module.Hooks(prepared, runner.recorder)._means_for(loaded).credentials) == {"webhookSecret"}
    seen: list[dict[str, Any]] = []
    monkeypatch.setattr(
        "headrace.flows.runtime.input.sources.source_for",
        lambda _, context: (
            seen.append({**context.connection.config, **context.connection.credentials, **context.settings}) or object()
        ),
    )
    source_of(prepared.ir.nodes[0], prepared.job)  # type: ignore[arg-type]
    assert set(seen[0]) & {"saltPeople", "webhookSecret", "enrichApiKey"} == set()


@pytest.mark.postgres
class TestOverRest:
    @pytest.fixture
    def connector(self, facade: Facade) -> Any:
        body = {"name": "files", "type": "local_fs", "authConfig": CREDENTIALS}
        return created(facade.editor, "/api/v1/connectors", body)["id"]

    def test_a_hash_of_a_password_cannot_be_saved(self, facade: Facade, connector: str) -> None:
        schema = {"name": "o", "displayName": "o", "fields": [{"name": "name"}]}
        schema_id = created(facade.editor, "/api/v1/schemas", schema)["id"]
        op = {"type": "hash", "fields": ["name"], "algorithm": "md5", "salt": "${credentials.password}"}
        body = {"name": "p", "connectorId": connector, "schemaId": schema_id, "irVersion": "1.0"}
        answer = facade.editor.post("/api/v1/pipelines", json={**body, "ir": document([op])})
        details = error_of(answer, 400)["details"]
        assert {each["code"] for each in details} <= {"invalid_secret", "salt_needs_hmac"}
        assert hashlib.md5(PASSWORD.encode()).hexdigest() not in answer.text

    @pytest.mark.parametrize(
        ("credentials", "code"),
        [
            ({"salt": "hunter2"}, "weak_secret"),
            ({"webhookSecret": "zq7"}, "weak_secret"),
            ({"enrichApiKey": "sk-123"}, "unbound_key"),
            ({"enrichApiKey": "prefect://secret/openai"}, "unbound_key"),
        ],
    )
    def test_a_connector_is_reported_at_once(self, facade: Facade, credentials: dict[str, Any], code: str) -> None:
        body = {"name": "weak", "type": "local_fs", "authConfig": credentials}
        for answer in (
            facade.editor.post("/api/v1/connectors", json=body),
            facade.editor.post("/api/v1/connectors/test", json={k: v for k, v in body.items() if k != "name"}),
        ):
            (problem,) = error_of(answer, 400)["details"]
            assert (problem["path"], problem["code"]) == (f"authConfig.{next(iter(credentials))}", code)
            assert str(next(iter(credentials.values()))) not in answer.text

    def test_a_connection_is_tried_with_its_own_credentials_alone(
        self,
        facade: Facade,
        connector: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        seen: list[Any] = []

        async def run(*given: Any) -> bytes:
            seen.extend(dict(one.credentials) for one in given if isinstance(one, Connection))
            return b'{"latencyMs": 1, "message": "ok"}'

        # The child that tries it gets these arguments, and nothing else of the connector.
        monkeypatch.setattr(SubprocessPool, "run", run)
        assert facade.editor.post(f"/api/v1/connectors/{connector}/test").json()["ok"]
        assert seen == [connection_credentials(CREDENTIALS)]


@given(st.text(min_size=4, max_size=40), st.text(max_size=10), st.integers(0, 3))
def test_no_secret_is_left_in_a_text_at_any_depth(secret: str, around: str, deep: int) -> None:
    credentials: Any = secret
    for _ in range(deep):
        credentials = [{"inner": credentials}]
    hidden = redact(f"{around}{secret}{around} {quote(secret, safe='')}", secret_texts({"token": credentials}))
    assert hidden == redact(hidden, [secret])
    assert hidden.count("***") >= 1


@pytest.mark.postgres
def test_what_a_library_quotes_is_not_reported(runner: Runner) -> None:
    job = replace(runner.job([]), database_url="postgresql://ann:hunter2-x@db/shop")
    reported = job.without_secrets(
        f"cannot log in as reader with {PASSWORD}, {SALT} at postgresql://ann:hunter2-x@db/shop"
    )
    assert reported == "cannot log in as reader with ***, *** at postgresql://ann:***@db/shop"
    shown = repr(job) + repr(HookMeans(None, (), CREDENTIALS, ())) + repr(Scope("n", "p", secrets=CREDENTIALS))  # type: ignore[arg-type]
    assert PASSWORD not in shown
    assert SALT not in shown
    assert "hunter2-x" not in shown


def test_settings_show_no_password() -> None:
    settings = Settings(database_url="postgresql://ann:hunter2-x@db/shop", key_pepper="p" * 20)  # type: ignore[arg-type]
    assert "hunter2-x" not in repr(settings) + str(settings)
    assert "p" * 20 not in repr(settings)


def test_what_a_provider_repeats_of_the_key_is_not_reported_even_where_it_is_cut() -> None:
    for before in range(260, 320):
        with stranger(lambda _, n=before: Said("x" * n + SALT, 400)) as there:  # type: ignore[misc]
            config = HttpConfig(url=f"{there.url}/{{a}}", max_attempts=1)
            with ProviderClient(config, SALT, ProviderAccess(LOOPBACK)) as line, pytest.raises(Unanswered) as caught:
                line.ask(Request("GET", f"{there.url}/x"))
        assert SALT[:6] not in caught.value.detail


@pytest.mark.parametrize(
    "config",
    [
        {"connectionString": "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=c2VjcmV0c2VjcmV0==;"},
        {"dsn": "host=db user=u password=hunter2hunter2"},
        {"endpoint": "https://a.blob.core.windows.net/c?sv=2024&sig=hunter2hunter2"},
        {"accountKey": "hunter2"},
        {"accessKey": "hunter2"},
        {"sas": "hunter2"},
        {"pwd": "hunter2"},
        {"headers": {"Cookie": "hunter2"}},
        {"headers": [{"X-Api-Key": "hunter2"}]},
        {"saslJaasConfig": "x required username=u"},
        {"pem": "-----BEGIN RSA PRIVATE KEY-----\nMIIE"},
        {"url": "https://u:hunter2@example.org"},
    ],
)
def test_a_secret_in_a_config_is_not_shown(config: dict[str, Any]) -> None:
    shown, secrets = split_secrets(config | {"accessKeyId": "AKIA", "region": "eu", "primaryKey": "id"})
    assert shown == {"accessKeyId": "AKIA", "region": "eu", "primaryKey": "id"}
    assert secrets == config


def test_processes_leave_no_core_dumps() -> None:
    reported = "from headrace.deployments.stack.process import forbid_core_dumps as f; import resource; f(); "
    found = subprocess.run(
        [sys.executable, "-c", f"{reported}print(resource.getrlimit(resource.RLIMIT_CORE))"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == "(0, 0)"


def test_no_installed_type_has_one_either(monkeypatch: pytest.MonkeyPatch) -> None:
    class Login(ClosedConfig):
        salt_of_the_shop: str

    made = ConnectorType("shop", "Shop", "database", "A shop", ClosedConfig, "shop", Login)
    shop = replace(next(iter(registry.connectors().values())), name="shop", types=("shop",), record_types=(made,))
    monkeypatch.setattr(registry, "connectors", lambda: {"shop": shop})
    registry.connector_types.cache_clear()
    try:
        with pytest.raises(ValueError, match=r"'shop' has settings with names .*: saltOfTheShop"):
            registry.connector_types()
    finally:
        registry.connector_types.cache_clear()
