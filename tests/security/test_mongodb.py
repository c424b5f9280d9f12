"""MongoDB as an attack surface: the hosts that its driver connects to, the commands that it sends, and hostile
servers."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import bson
import pytest

from headrace.connectors.connector import Connection, Context, Surroundings
from headrace.connectors.errors import SourceError
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.mongodb.connector import MONGODB
from headrace.connectors.mongodb.dialling import Dialler
from headrace.connectors.network.egress import Network
from tests.connectors.sql.postgresql.shop import LOOPBACK

PASSWORD = "hunter2"
HELLO = {
    "isWritablePrimary": True,
    "maxBsonObjectSize": 16 << 20,
    "maxMessageSizeBytes": 48_000_000,
    "maxWriteBatchSize": 100_000,
    "minWireVersion": 0,
    "maxWireVersion": 21,
    "ok": 1.0,
}


class Server:
    """Answers every command with what `answers` has for it. `came` counts connections, `asked` are the commands."""

    def __init__(self, **answers: dict[str, Any] | bytes) -> None:
        self.answers = {"hello": HELLO, "ismaster": HELLO, **answers}
        self.came, self.asked = 0, list[dict[str, Any]]()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                self.came += 1
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError, struct.error), client:
            while head := client.recv(16, socket.MSG_WAITALL):
                length, number, _, code = struct.unpack("<iiii", head)
                body = client.recv(length - 16, socket.MSG_WAITALL)
                # 2004: the first question, as to old servers
                text = body[body.index(b"\0", 4) + 9 :] if code == 2004 else body[5:]
                command = bson.decode(text[: struct.unpack("<i", text[:4])[0]])
                self.asked.append(command)
                answer = self.answers.get(next(iter(command)), {"ok": 1.0})
                raw = answer if isinstance(answer, bytes) else bson.encode(answer)
                if code == 2004:
                    reply = struct.pack("<iqii", 8, 0, 0, 1) + raw
                    client.sendall(struct.pack("<iiii", 16 + len(reply), 1, number, 1) + reply)
                else:
                    reply = b"\0\0\0\0\0" + raw
                    client.sendall(struct.pack("<iiii", 16 + len(reply), 1, number, 2013) + reply)


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    made: list[Server] = []
    yield made
    for each in made:
        each.close()


def context(config: dict[str, Any], networks: tuple[Network, ...] = LOOPBACK, **settings: Any) -> Context:
    given = {"database": "shop", "tls": False, **config}
    connection = Connection("c", "mongodb", given, {"username": "reader", "password": PASSWORD})
    return Context(connection, Surroundings(FilesRoot(Path("/nowhere")), networks), settings)


def refused(asked: Context) -> SourceError:
    with pytest.raises(SourceError) as error:
        MONGODB.tried(asked)
    assert PASSWORD not in str(error.value)
    return error.value


def test_a_host_inside_the_servers_network_is_not_dialled(servers: list[Server]) -> None:
    servers.append(Server())
    for config in (
        {"host": "127.0.0.1", "port": servers[0].port},
        {"connectionString": f"mongodb://127.0.0.1:{servers[0].port}/shop"},
        {"host": f"127.0.0.1:{servers[0].port}", "tls": True},
    ):
        assert refused(context(config, networks=())).code == "address_refused"
    assert servers[0].came == 0


def test_members_that_a_replica_set_names_are_checked_as_well(servers: list[Server]) -> None:
    inside = Server()
    named = f"127.0.0.2:{inside.port}"
    seed = Server()
    members = {"setName": "rs", "hosts": [named], "me": named, "secondary": True, "isWritablePrimary": False}
    seed.answers["hello"] = seed.answers["ismaster"] = {**HELLO, **members}
    servers += [inside, seed]
    allowed = (ip_network("127.0.0.1/32"),)
    error = refused(context({"host": "127.0.0.1", "port": seed.port, "replicaSet": "rs"}, networks=allowed))
    assert (error.code, "127.0.0.2" in error.message) == ("address_refused", True), error
    assert inside.came == 0


def test_names_are_resolved_once_for_each_connection(monkeypatch: pytest.MonkeyPatch, servers: list[Server]) -> None:
    """A name that is allowed and then is at another address is dialled at the first."""
    servers.append(Server(saslStart={"ok": 0.0, "errmsg": "no", "code": 18}))
    own, asked = socket.getaddrinfo, []

    def resolver(host: Any, *rest: Any, **more: Any) -> Any:
        if host != "db.example.org":
            return own(host, *rest, **more)
        asked.append(host)
        return own("127.0.0.1" if len(asked) % 2 else "169.254.169.254", *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    dialler = Dialler(LOOPBACK, tls=False)
    assert dialler.addresses("db.example.org", 1) == ["127.0.0.1"]
    with pytest.raises(SourceError, match=r"169\.254\.169\.254"):
        dialler.addresses("db.example.org", 1)


def test_nothing_goes_over_the_internet_without_tls() -> None:
    for config in ({"host": "192.0.43.8"}, {"connectionString": "mongodb://192.0.43.8/shop", "tls": None}):
        assert refused(context(config, networks=())).code == "insecure"


def test_an_srv_name_that_leads_inside_is_not_dialled(monkeypatch: pytest.MonkeyPatch, servers: list[Server]) -> None:
    servers.append(Server())
    from pymongo.synchronous import srv_resolver

    found = [("inside.example.org", servers[0].port)]
    monkeypatch.setattr(srv_resolver._SrvResolver, "get_hosts", lambda self: found)
    monkeypatch.setattr(srv_resolver._SrvResolver, "get_options", lambda self: None)
    monkeypatch.setattr(
        "headrace.connectors.mongodb.dialling.allowed_addresses",
        lambda host, port, networks: (_ for _ in ()).throw(SourceError("address_refused", f"'{host}' is inside.")),
    )
    error = refused(context({"connectionString": "mongodb+srv://db.example.org/shop", "tls": True}, networks=()))
    assert (error.code, "inside.example.org" in error.message) == ("address_refused", True), error
    assert servers[0].came == 0


@pytest.mark.parametrize("host", ["/tmp/mongodb-27017.sock", "a/../b", "x.sock", "a b", "a\0b", "http://a", "127.1"])
def test_a_host_is_one(host: str) -> None:
    assert refused(context({"host": host})).code in ("bad_option", "bad_host")


def test_a_driver_that_dials_in_another_way_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    from pymongo.synchronous import pool

    monkeypatch.setattr(pool.Pool, "connect", lambda self, handler=None: None)
    assert refused(context({"host": "127.0.0.1"})).code == "driver_unknown"


def test_the_password_is_not_sent_to_a_server_that_does_not_know_it(servers: list[Server]) -> None:
    """SCRAM: a server proves that it knows the password, or is left."""
    answer = {"conversationId": 1, "done": False, "payload": b"r=x,s=QUJD,i=4096", "ok": 1.0}
    servers.append(Server(saslStart=answer))
    error = refused(context({"host": "127.0.0.1", "port": servers[0].port}))
    assert error.code in ("bad_credentials", "query_failed", "connection_lost", "connection_failed", "bad_data"), error
    assert PASSWORD not in repr(servers[0].asked)


@pytest.mark.parametrize(
    "answer",
    [
        {"ok": 1.0},
        {"ok": 1.0, "cursor": {}},
        {"ok": 1.0, "cursor": {"id": 0, "ns": "x", "firstBatch": 5}},
        {"ok": 1.0, "cursor": {"id": "x", "ns": "shop.t", "firstBatch": []}},
        b"\x05\0\0\0\0",
        b"\xff\xff\xff\x7f\0",
        b"",
    ],
    ids=repr,
)
def test_answers_that_are_none_are_errors_for_a_person(servers: list[Server], answer: dict[str, Any] | bytes) -> None:
    servers.append(Server(listCollections=answer))
    asked = context({"host": "127.0.0.1", "port": servers[0].port})
    open_ = Context(Connection("c", "mongodb", asked.connection.config, {}), asked.surroundings)
    with pytest.raises(SourceError) as error:
        MONGODB.tried(open_)
    assert error.value.message


def test_code_for_the_server_is_not_sent(servers: list[Server]) -> None:
    servers.append(Server())
    for filter_ in ({"$where": "sleep(1000)"}, {"a": {"$not": {"$function": {}}}}, {"$expr": {"$function": {}}}):
        asked = context({"host": "127.0.0.1", "port": servers[0].port}, collection="t", filter=filter_)
        with pytest.raises(SourceError) as error:
            MONGODB.source(asked)
        assert error.value.code == "bad_option"
    assert servers[0].came == 0
