"""Configs of every database at a host that no name server knows, with credentials of the right shape."""

from __future__ import annotations

from functools import cache
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

HOST = "nowhere.invalid"
LOGIN = {"username": "anna", "password": "hunter2"}
PLACES: dict[str, dict[str, Any]] = {
    "postgresql": {"host": HOST, "port": 5432, "database": "d"},
    "mysql": {"host": HOST, "port": 3306, "database": "d"},
    "redshift": {"host": HOST, "port": 5439, "database": "d"},
    "mongodb": {"host": HOST, "port": 27017, "database": "d"},
    "snowflake": {"account": "acc", "warehouse": "W", "database": "D", "url": f"https://{HOST}"},
    "databricks": {"host": HOST, "httpPath": "/sql/1.0/warehouses/x"},
    "bigquery": {"project": "acme", "dataset": "sales", "endpoint": f"https://{HOST}"},
}


@cache
def key() -> str:
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pkcs8 = serialization.PrivateFormat.PKCS8
    return made.private_bytes(serialization.Encoding.PEM, pkcs8, serialization.NoEncryption()).decode()


def credentials(kind: str) -> dict[str, Any]:
    if kind == "databricks":
        return {"token": "hunter2"}
    if kind != "bigquery":
        return LOGIN
    account = {"type": "service_account", "client_email": "a@acme.iam.gserviceaccount.com", "private_key_id": "k"}
    return {"serviceAccount": {**account, "private_key": key(), "token_uri": f"https://{HOST}/token"}}
