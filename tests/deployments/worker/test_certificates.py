"""The CA bundle is replaced for an API without TLS only."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from headrace.deployments.worker.certificates import minimal_ca_bundle


def test_an_api_without_tls_has_its_clients_read_one_certificate(tmp_path: Path) -> None:
    environment = {"PREFECT_API_URL": "http://127.0.0.1:4200/api", "PREFECT_HOME": str(tmp_path / "home")}
    [(setting, file)] = minimal_ca_bundle(environment).items()
    assert setting == "PREFECT_API_SSL_CERT_FILE"
    assert len(ssl.create_default_context(cafile=file).get_ca_certs()) == 1
    assert minimal_ca_bundle(environment) == {setting: file}, "once more, as by a second worker"


@pytest.mark.parametrize(
    "environment",
    [
        {"PREFECT_API_URL": "https://prefect.example.com/api"},
        {},
        {"PREFECT_API_URL": "http://127.0.0.1:4200/api", "PREFECT_API_SSL_CERT_FILE": "/etc/ssl/ours.pem"},
    ],
    ids=["TLS", "a profile's API", "set by somebody"],
)
def test_what_may_need_certificates_keeps_them(environment: dict[str, str], tmp_path: Path) -> None:
    assert minimal_ca_bundle({**environment, "PREFECT_HOME": str(tmp_path)}) == {}
    assert not list(tmp_path.iterdir())
