"""A file fetched from a server of `benchmarks.stores` into a file, and nothing else, by different clients: how fast the
server gives it on this machine."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Callable, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any, NamedTuple

import asyncssh
import boto3

from headrace.connectors.connector import Connection, Context, Surroundings
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.stores.object_store.objects import ObjectFiles
from headrace.connectors.stores.object_store.s3 import s3_bucket
from headrace.connectors.stores.sftp.connector import sftp_files

FILE = "orders.csv"


class Place(NamedTuple):
    """A connector with its config and credentials. `login_key` is a private key that an SFTP server also lets in."""

    kind: str
    config: dict[str, Any]
    credentials: dict[str, Any]
    login_key: str = ""


def by_boto3(place: Place, into: Path) -> None:
    """As boto3 does it when nothing is said."""
    keys = {
        "aws_access_key_id": place.credentials["accessKeyId"],
        "aws_secret_access_key": place.credentials["secretAccessKey"],
    }
    client = boto3.client("s3", endpoint_url=place.config["endpoint"], region_name=place.config["region"], **keys)
    client.download_file(place.config["bucket"], FILE, str(into))


def by_asyncssh(place: Place, into: Path) -> None:
    """As asyncssh does it when nothing is said."""

    async def fetched() -> None:
        login = {"port": place.config["port"], "config": None, "known_hosts": None, **place.credentials}
        host = place.config["host"]
        async with asyncssh.connect(host, **login) as connection, connection.start_sftp_client() as client:
            await client.get(FILE, into)

    asyncio.run(fetched())


def by_openssh(place: Place, into: Path) -> None:
    """As OpenSSH's `sftp` does it when nothing is said."""
    key = into.with_name("login")
    key.write_text(place.login_key)
    key.chmod(0o600)
    options = ["IdentitiesOnly=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"]
    command = ["sftp", "-q", "-F", "none", "-P", str(place.config["port"]), "-i", str(key)]
    command += [part for option in options for part in ("-o", option)]
    address = f"{place.credentials['username']}@{place.config['host']}:{FILE}"
    subprocess.run([*command, address, str(into)], check=True, stdout=subprocess.DEVNULL)


def by_headrace(place: Place, into: Path) -> None:
    """The copy that a run makes before it reads, with the connection for it; into a file of its own."""
    connection = Connection("conn_1", place.kind, place.config, place.credentials)
    surroundings = Surroundings(FilesRoot(into.parent), (ip_network("127.0.0.0/8"),), scratch=into.parent)
    context = Context(connection, surroundings)
    files = sftp_files(context) if place.kind == "sftp" else ObjectFiles(s3_bucket(context), into.parent)
    with files.opened(FILE):
        into.touch()


def clients(kind: str) -> Mapping[str, Callable[[Place, Path], None]]:
    """What fetches from a connector of this type, by name; OpenSSH only where it is installed."""
    if kind != "sftp":
        return {"headrace": by_headrace, "boto3": by_boto3}
    there = {"openssh": by_openssh} if shutil.which("sftp") else {}
    return {"headrace": by_headrace, "asyncssh": by_asyncssh, **there}
