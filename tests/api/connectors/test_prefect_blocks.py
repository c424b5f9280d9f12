"""Connection tests with credentials in Prefect blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest
from prefect.blocks.core import Block
from prefect.settings import temporary_settings
from pydantic import SecretStr

from headrace.api.app import BASE_PATH
from headrace.deployments.prefect.orchestrator import Orchestrator
from tests.api.conftest import Facade, created
from tests.conftest import RunningStack
from tests.network_postgres import NetworkPostgres, network_postgres

__all__ = ["network_postgres"]

pytestmark = pytest.mark.stack


class ReaderLogin(Block):
    """A block of several fields, as those of Prefect's collections are."""

    username: str
    password: SecretStr


def save(stack: RunningStack, password: str) -> None:
    with temporary_settings(stack.prefect_settings):
        login = ReaderLogin(username="reader", password=SecretStr(password))
        login.save("reader", overwrite=True, _sync=True)  # type: ignore[call-arg]


@pytest.fixture
def dialling(facade: Facade, stack: RunningStack, tmp_path: Path) -> Iterator[Facade]:
    """An API that may connect to loopback and uses the stack's Prefect."""
    services = facade.app.state.services
    changes = {"files_root": tmp_path, "connector_networks": (ip_network("127.0.0.0/8"),)}
    facade.app.state.services = replace(
        services,
        settings=services.settings.model_copy(update=changes),
        orchestrator=Orchestrator(stack.prefect_api, "headrace"),
    )
    yield facade
    facade.app.state.services.orchestrator.close()
    facade.app.state.services = services


def test_a_connection_is_tried_with_all_credentials_of_one_block(
    dialling: Facade, network_postgres: NetworkPostgres, stack: RunningStack
) -> None:
    connectors = f"{BASE_PATH}/connectors"
    save(stack, "hunter2")
    body = {"type": "postgresql", "config": network_postgres.config, "authConfig": "prefect://readerlogin/reader"}
    made = created(dialling.editor, connectors, body | {"name": "shop"})
    assert made["authReferences"] == {"*": "prefect://readerlogin/reader"}
    tried = dialling.editor.post(f"{connectors}/{made['id']}/test")
    assert tried.json()["ok"] is True, tried.text
    assert "hunter2" not in tried.text

    save(stack, "rotated away")
    tried = dialling.editor.post(f"{connectors}/{made['id']}/test")
    assert tried.json()["ok"] is False
    assert "password authentication failed" in tried.json()["message"]

    theirs = created(dialling.foreign, connectors, body | {"name": "shop"})
    tried = dialling.foreign.post(f"{connectors}/{theirs['id']}/test").json()
    assert (tried["ok"], "is not for this tenant" in tried["message"]) == (False, True)
