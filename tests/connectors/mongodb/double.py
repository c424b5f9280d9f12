"""The double of a MongoDB server, on loopback, that the real driver reads from."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from headrace.connectors.connector import Connection, Context, Surroundings
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.mongodb.connector import MONGODB
from headrace.connectors.mongodb.source import MongoSource
from headrace.connectors.network.egress import Network
from headrace.ir.schema import Schema
from tests.connectors.sql.postgresql.shop import LOOPBACK
from tests.connectors.stores.emulators import free_port, missing, running
from tests.environments import NotInstalledError, environment

PACKAGES = ("mongoeco==4.11.0", "pymongo==4.20.1")
"""An environment of their own: mongoeco wants Python 3.13."""
PASSWORD = "hunter2"
CREDENTIALS = {"username": "reader", "password": PASSWORD}
DATABASE = "shop"
SUBJECT = "CN=badge"
USERS = [
    {"username": "reader", "password": PASSWORD, "source": "admin", "mechanisms": ["SCRAM-SHA-256", "SCRAM-SHA-1"]},
    {"username": SUBJECT, "source": "admin", "mechanisms": ["MONGODB-X509"]},  # whatever database it is asked in
]
_PROGRAM = Path(__file__).with_name("server_program.py")
_PYTHON = "python3.13"


@dataclass
class Double:
    """The database `shop`, empty, without a login unless it is `closed`."""

    port: int
    config: dict[str, Any]
    credentials: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    sources: list[MongoSource] = field(default_factory=list)

    @cached_property
    def owner(self) -> Any:
        """The driver's own client."""
        import pymongo

        return pymongo.MongoClient(
            "127.0.0.1", self.port, directConnection=True, serverMonitoringMode="poll", **self.options
        )

    @property
    def database(self) -> Any:
        return self.owner[DATABASE]

    def close(self) -> None:
        """Ends the connections of its sources."""
        for source in self.sources:
            source.close()
        self.sources.clear()

    def clear(self) -> None:
        """As at first: without collections, and well-behaved."""
        self.steer("clear")
        for each in self.database.list_collection_names():
            self.database.drop_collection(each)

    def steer(self, do: str, **how: Any) -> list[str]:
        """See the program. What it was asked so far."""
        return [each["text"] for each in self.owner.control.control.find({"do": do, **how})]

    def seen(self) -> list[str]:
        """What it was asked: finds and pipelines."""
        return self.steer("look")

    def fill(self, name: str, documents: Sequence[Mapping[str, Any]], *, first: int = 50) -> None:
        """Puts documents into a collection."""
        for start in range(0, len(documents), first):
            self.database[name].insert_many(documents[start : start + first])

    def can(self, name: str, *documents: bytes, kind: str = "collection") -> None:
        """A collection of these very bytes, which come whatever they are asked by."""
        self.steer("can", name=name, documents=list(documents), kind=kind)

    def context(
        self,
        settings: Mapping[str, Any],
        fields: Schema = (),
        *,
        networks: tuple[Network, ...] = LOOPBACK,
        credentials: dict[str, Any] | None = None,
        **config: Any,
    ) -> Context:
        given = {name: value for name, value in (self.config | config).items() if value is not None}
        secrets = self.credentials if credentials is None else credentials
        connection = Connection("conn_1", "mongodb", given, secrets)
        return Context(connection, Surroundings(FilesRoot(Path("/nowhere")), networks), settings, fields)

    def source(self, name: str, fields: Schema = (), **settings: Any) -> MongoSource:
        return self.opened(self.context({"collection": name, **settings}, fields))

    def opened(self, context: Context) -> MongoSource:
        source = MONGODB.source(context)
        assert isinstance(source, MongoSource)
        source._pauses = (0.01, 0.01)
        self.sources.append(source)
        return source


@contextmanager
def double(cache: Path, **how: Any) -> Iterator[Double]:
    """A running one; its environment is made below `cache`, once."""
    port = free_port()
    with running([str(_environment(cache)), str(_PROGRAM), json.dumps({"port": port, **how})], port):
        yield Double(port, {"host": "127.0.0.1", "port": port, "database": DATABASE, "tls": False})


def _environment(cache: Path) -> Path:
    try:
        return environment(cache / "mongodb", PACKAGES, _newer_python())
    except NotInstalledError as error:
        missing("mongoeco", str(error))
        raise


def _newer_python() -> str:
    """One that runs: pyenv leaves commands of versions that are not chosen, which only say so."""
    if sys.version_info >= (3, 13):
        return sys.executable
    installed = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    names = [shutil.which(_PYTHON), *map(str, sorted(installed.glob("3.1[3-9]*/bin/python3")))]
    for name in filter(None, names):
        if not subprocess.run([str(name), "-c", "import venv"], capture_output=True, check=False).returncode:
            return str(name)
    missing("Python 3.13, which the double of MongoDB runs on,", f"{_PYTHON} on the PATH, or in pyenv")
    raise AssertionError
