"""Real servers that keep files, each as the tests need it: a store of ours, and a hand that puts files there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from headrace.connectors.connector import Connection, Context, Surroundings
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.files.store import FileStore
from tests.connectors.stores import gcs_server
from tests.connectors.stores.cutting import Cutting
from tests.connectors.stores.emulators import ACCOUNT, CONTAINER, KEY, sas
from tests.connectors.stores.gcs_server import GcsServer
from tests.connectors.stores.ssh_server import PASSWORD, SshServer
from tests.connectors.stores.web_server import WebServer
from tests.object_store import BUCKET, SECRET, ObjectStore

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


def context(place: Place, settings: Mapping[str, Any] | None = None, **also: Any) -> Context:
    """What a source at the place is opened with."""
    connection = Connection("conn_1", place.type, {**place.config, **also}, place.credentials)
    return Context(connection, Surroundings(FilesRoot(Path("/nowhere")), LOOPBACK), settings or {})


class Place(Protocol):
    """One folder of one server, empty at first; `connector` is the word of a source node."""

    type: str
    connector: str
    config: dict[str, Any]
    credentials: dict[str, Any]

    def store(self) -> FileStore:
        """Another client."""

    def add(self, name: str, content: bytes) -> None:
        """Somebody puts a file there."""

    def content(self, name: str) -> bytes:
        """What is in it."""

    def names(self) -> list[str]:
        """Every file, whatever it is for."""

    def deny(self) -> None:
        """From now on the credentials are wrong."""

    def cut(self) -> None:
        """The next answers with content break off."""


@dataclass
class S3Place:
    """moto."""

    server: ObjectStore
    prefix: str = field(default_factory=lambda: uuid4().hex[:8])
    type: str = "aws_s3"
    connector: str = "s3"
    credentials: dict[str, Any] = field(default_factory=lambda: {"accessKeyId": "headrace", "secretAccessKey": SECRET})

    @property
    def config(self) -> dict[str, Any]:
        endpoint = self.server.environment["AWS_ENDPOINT_URL"]
        return {"bucket": BUCKET, "region": "us-east-1", "prefix": self.prefix, "endpoint": endpoint}

    def store(self) -> FileStore:
        from headrace.connectors.stores.object_store.objects import ObjectFiles
        from headrace.connectors.stores.object_store.s3 import s3_bucket

        return ObjectFiles(s3_bucket(context(self)))

    def add(self, name: str, content: bytes) -> None:
        self.server.client.put_object(Bucket=BUCKET, Key=f"{self.prefix}/{name}", Body=content)

    def content(self, name: str) -> bytes:
        found: bytes = self.server.client.get_object(Bucket=BUCKET, Key=f"{self.prefix}/{name}")["Body"].read()
        return found

    def names(self) -> list[str]:
        return sorted(
            name.removeprefix(f"{self.prefix}/") for name in self.server.objects() if name.startswith(self.prefix)
        )

    def deny(self) -> None:
        self.server.refuse("GET", "403 Forbidden", "SignatureDoesNotMatch")

    def cut(self) -> None:
        self.server.break_off()
        self.server.break_off()


@dataclass
class SftpPlace:
    """asyncssh's own server."""

    server: SshServer
    account: str = field(default_factory=lambda: uuid4().hex[:8])
    type: str = "sftp"
    connector: str = "sftp"

    def __post_init__(self) -> None:
        self.credentials: dict[str, Any] = {"username": self.account, "password": PASSWORD}
        self.folder = self.server.folder(self.account)
        self.config: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": self.server.port,
            "hostKey": self.server.key.get_fingerprint(),
        }

    def store(self) -> FileStore:
        from headrace.connectors.stores.sftp.connector import sftp_files

        return sftp_files(context(self))

    def add(self, name: str, content: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.part")
        draft.write_bytes(content)
        draft.replace(path)

    def content(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def names(self) -> list[str]:
        return sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file())

    def deny(self) -> None:
        self.credentials["password"] = "another password"

    def cut(self) -> None:
        self.server.cuts = 2


@dataclass
class HttpPlace:
    """A web server of the tests; nobody moves anything there."""

    server: WebServer
    type: str = "http_pull"
    connector: str = "http_pull"
    credentials: dict[str, Any] = field(default_factory=lambda: {"token": "a token for its server"})

    @property
    def config(self) -> dict[str, Any]:
        return {"urls": [self.server.url + path for path in self.server.files], "insecureLogin": True}

    def add(self, name: str, content: bytes) -> None:
        self.server.files[f"/{name}"] = content


@dataclass
class AzurePlace:
    """Azurite, from npm, by way of what cuts its answers."""

    cuts: Cutting
    prefix: str = field(default_factory=lambda: uuid4().hex[:8])
    type: str = "azure_blob"
    connector: str = "azure_blob"
    credentials: dict[str, Any] = field(default_factory=lambda: {"sasToken": sas(CONTAINER)})

    @property
    def config(self) -> dict[str, Any]:
        return {"container": CONTAINER, "storageAccount": ACCOUNT, "prefix": self.prefix, "endpoint": self.url}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.cuts.port}/{ACCOUNT}"

    @cached_property
    def hand(self) -> Any:
        from obstore.store import AzureStore

        return AzureStore(
            CONTAINER,
            prefix=self.prefix,
            account_name=ACCOUNT,
            endpoint=self.url,
            account_key=KEY,
            client_options={"allow_http": True},
        )

    def store(self) -> FileStore:
        from headrace.connectors.stores.object_store.azure import azure_container
        from headrace.connectors.stores.object_store.objects import ObjectFiles

        return ObjectFiles(azure_container(context(self)))

    def add(self, name: str, content: bytes) -> None:
        import obstore

        obstore.put(self.hand, name, content)

    def content(self, name: str) -> bytes:
        import obstore

        return bytes(obstore.get(self.hand, name).bytes())

    def names(self) -> list[str]:
        import obstore

        return sorted(each["path"] for page in obstore.list(self.hand) for each in page)

    def deny(self) -> None:
        self.credentials = {"sasToken": sas(CONTAINER).replace("sig=", "sig=x")}

    def cut(self) -> None:
        self.cuts.next_answers = 2


@dataclass
class GcsPlace:
    """fake-gcs-server."""

    server: GcsServer
    prefix: str = field(default_factory=lambda: uuid4().hex[:8])
    type: str = "gcs"
    connector: str = "gcs"

    def __post_init__(self) -> None:
        self.credentials: dict[str, Any] = {"serviceAccount": json.dumps(self.server.account)}

    @property
    def config(self) -> dict[str, Any]:
        return {"bucket": gcs_server.BUCKET, "project": "p", "prefix": self.prefix, "endpoint": self.server.url}

    def store(self) -> FileStore:
        from headrace.connectors.stores.object_store.gcs import gcs_bucket
        from headrace.connectors.stores.object_store.objects import ObjectFiles

        return ObjectFiles(gcs_bucket(context(self)))

    def add(self, name: str, content: bytes) -> None:
        self.server.add(f"{self.prefix}/{name}", content)

    def content(self, name: str) -> bytes:
        return self.server.content(f"{self.prefix}/{name}")

    def names(self) -> list[str]:
        return [name.removeprefix(f"{self.prefix}/") for name in self.server.names(f"{self.prefix}/")]

    def deny(self) -> None:
        another = rsa.generate_private_key(65537, 2048).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self.credentials = {"serviceAccount": {**self.server.account, "private_key": another.decode()}}

    def cut(self) -> None:
        self.server.cuts = 2
