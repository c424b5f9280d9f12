"""Credentials from Prefect's blocks, with a real Prefect: each run uses the current value, and none is shown."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from uuid import uuid4

import pytest
from prefect.blocks.core import Block
from prefect.blocks.system import Secret
from prefect.settings import temporary_settings
from pydantic import SecretStr

from tests.conftest import RunningStack
from tests.rest import FIELDS, Api

pytestmark = pytest.mark.stack

FIRST, SECOND = "the first salt of the two", "the second salt of the two"


class ShopLogin(Block):
    """A block of several fields, as those of Prefect's collections are."""

    username: str
    password: SecretStr


@pytest.fixture
def prefect(stack: RunningStack) -> Iterator[None]:
    with temporary_settings(stack.prefect_settings):
        yield


def save(block: Block, name: str) -> None:
    block.save(name, overwrite=True, _sync=True)  # type: ignore[call-arg]


def salted(stack: RunningStack, auth: Any) -> Api:
    """A pipeline that loads the hash of a note, salted with a credential: the table shows which value the run had."""
    clean = {"type": "hash", "fields": ["note"], "algorithm": "sha256", "salt": "${credentials.salt}"}
    api = Api(stack, "amount,note\n1,a\n", nodes=[{"id": "clean", "kind": "transform", "ops": [clean]}], fields=FIELDS)
    body = {"name": f"{api.name} salted", "type": "local_fs", "authConfig": auth}
    api.body["connectorId"] = api.make("/connectors", body)["id"]
    return api.create()


def hashed(salt: str) -> str:
    return hmac.new(salt.encode(), b"a", hashlib.sha256).hexdigest()


def test_a_run_takes_the_value_that_the_block_has_then(stack: RunningStack, prefect: None) -> None:
    name = f"salt-{uuid4().hex[:8]}"
    save(Secret(value=SecretStr(FIRST)), name)
    with closing(salted(stack, {"salt": f"prefect://secret/{name}"})) as api:
        assert api.run()["status"] == "completed"
        save(Secret(value=SecretStr(SECOND)), name)
        assert api.run()["status"] == "completed"
        assert {note for _, note in api.rows()} == {hashed(FIRST), hashed(SECOND)}
        shown = api.get(f"/connectors/{api.body['connectorId']}")
        assert shown.json()["authReferences"] == {"salt": f"prefect://secret/{name}"}
        assert FIRST not in shown.text
        preview = api.post(f"/pipelines/{api.pipeline}/preview", json={})
        assert preview.status_code == 200, preview.text


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("prefect://secret/nobody-made-it", "Prefect has no block 'nobody-made-it' of type 'secret'."),
        ("prefect://no-such-type/prod/password", "Prefect has no block type 'no-such-type'."),
        ("prefect://shoplogin/one/passwort", "The block shoplogin/one has no field 'passwort'."),
    ],
)
def test_a_run_without_its_credentials_fails_and_says_why(
    stack: RunningStack, prefect: None, reference: str, says: str
) -> None:
    save(ShopLogin(username="reader", password=SecretStr("hunter2")), "one")
    with closing(salted(stack, {"salt": reference})) as api:
        run_id = api.start()
        assert api.finished(run_id)["status"] == "failed"
        reason = api.detail(run_id)["failureReason"]
        assert says in reason
        assert "hunter2" not in reason
        assert api.rows() == []
