"""Actions for a tenant use the credentials of its record only, never those of the server."""

from __future__ import annotations

import ast
import socket
import struct
import threading
from contextlib import closing
from functools import cache
from ipaddress import ip_network
from pathlib import Path

import pytest

from headrace.connectors.connector import Surroundings
from headrace.connectors.errors import SourceError
from headrace.connectors.files.paths import FilesRoot
from tests.connectors.trying import tried

HOUSE = Path(__file__).parents[2]
STAGING = "flows/runtime/staging/objects.py"
"""Rows between stages: its place is a setting of the operator, which no document names."""

SNOWFLAKE = "connectors/snowflake/session.py"
"""Sets variables that keep the driver from looking there."""


_LOOKED_AT = (ast.Attribute, ast.Import, ast.ImportFrom, ast.Call)


@cache
def _nodes(room: str) -> list[tuple[str, ast.AST]]:
    found = [(path, ast.parse(path.read_text())) for path in (HOUSE / room).rglob("*.py")]
    return [
        (path.relative_to(HOUSE).as_posix(), node)
        for path, tree in found
        for node in ast.walk(tree)
        if isinstance(node, _LOOKED_AT)
    ]


def parsed(*rooms: str) -> list[tuple[str, ast.AST]]:
    """The attributes, imports and calls in all modules of the rooms, each with its module."""
    return [each for room in rooms for each in _nodes(room)]


def test_nothing_that_acts_for_a_tenant_looks_into_the_servers_surroundings() -> None:
    """Environment, home and the metadata of the machine are where credentials lie that are the server's own."""
    looks = {
        where
        for where, node in parsed("connectors", "ir", "flows/enrich", "flows/runtime/hooks", "flows/runtime/staging")
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv", "expanduser", "home")
        if ast.unparse(node.value) in ("os", "Path", "os.path", "pathlib.Path")
    }
    assert looks == {STAGING, SNOWFLAKE}


STORES = {f"connectors/stores/object_store/{name}.py" for name in ("bucket", "client", "s3", "gcs", "azure")}
"""The connectors' own clients, which get all options explicitly: see tests/security/test_stores.py."""


def test_clients_of_object_stores_are_made_for_staging_and_by_connectors_that_configure_them_fully() -> None:
    makes = {
        where
        for where, node in parsed("connectors", "flows", "ir", "api", "catalog")
        if (isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] in ("obstore", "boto3", "s3fs"))
        or (
            isinstance(node, ast.Import) and any(each.name.split(".")[0] in ("obstore", "boto3") for each in node.names)
        )
    }
    assert makes - STORES == {STAGING}


def test_clients_of_services_ignore_proxies_and_logins_of_the_server() -> None:
    clients = [
        (where, {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords})
        for where, node in parsed("connectors", "flows")
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("httpx.Client", "httpx.HTTPTransport", "httpx.AsyncClient")
    ]
    assert clients
    assert [where for where, given in clients if given.get("trust_env") != "False"] == []


@pytest.mark.parametrize(("code", "called"), [(7, "GSSAPI"), (9, "SSPI")])
def test_a_database_that_asks_for_the_servers_ticket_gets_none(code: int, called: str) -> None:
    """Kerberos logs in with the ticket of whoever runs the process, not with the record's password."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    asked = connection.recv(4096)
                    if asked[4:8] == struct.pack("!I", 80877103):  # for TLS
                        connection.sendall(b"N")
                        connection.recv(4096)
                    connection.sendall(b"R" + struct.pack("!II", 8, code))
                    connection.recv(4096)

        threading.Thread(target=serve, daemon=True).start()
        config = {"host": "127.0.0.1", "port": server.getsockname()[1], "database": "x"}
        surroundings = Surroundings(FilesRoot(Path()), [ip_network("127.0.0.0/8")])
        with pytest.raises(SourceError, match=f"require.* failed: server requested {called}"):
            tried("postgresql", config, {"username": "reader", "password": "x"}, surroundings)
