"""An API without TLS needs no certificate authorities; every other is left as it is."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from deployments.worker.certificates import few_certificates


def test_an_api_without_tls_has_its_clients_read_one_certificate(tmp_path: Path) -> None:
    environment = {"PREFECT_API_URL": "http://127.0.0.1:4200/api", "PREFECT_HOME": str(tmp_path / "home")}
    [(setting, file)] = few_certificates(environment).items()
    assert setting == "PREFECT_API_SSL_CERT_FILE"
    assert len(ssl.create_default_context(cafile=file).get_ca_certs()) == 1
    assert few_certificates(environment) == {setting: file}, "once more, as by a second worker"


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
    assert few_certificates({**environment, "PREFECT_HOME": str(tmp_path)}) == {}
    assert not list(tmp_path.iterdir())
