"""Each place that keeps files, empty."""

from __future__ import annotations

from typing import Any

import pytest

from tests.connectors.stores.places import AzurePlace, GcsPlace, HttpPlace, Place, S3Place, SftpPlace
from tests.connectors.stores.web_server import WebServer

OBJECTS = ("s3", "azure_blob", "gcs")
EVERY = (*OBJECTS, "sftp")


def made(kind: str, request: pytest.FixtureRequest) -> Any:
    """An empty place of a kind."""
    if kind == "http_pull":
        server = WebServer()
        request.addfinalizer(server.close)
        return HttpPlace(server)
    if kind == "s3":
        return S3Place(request.getfixturevalue("object_store"))
    if kind == "azure_blob":
        return AzurePlace(request.getfixturevalue("azurite_server"))
    if kind == "gcs":
        return GcsPlace(request.getfixturevalue("gcs_server"))
    return SftpPlace(request.getfixturevalue("ssh_server"))


@pytest.fixture(params=EVERY)
def place(request: pytest.FixtureRequest) -> Place:
    """One of them after the other."""
    found: Place = made(request.param, request)
    return found
