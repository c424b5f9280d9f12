"""Settings of every Headrace process, read from `HEADRACE_*` in the environment."""

from __future__ import annotations

from functools import cache
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from catalog.credentials import Keyring


class Settings(BaseSettings):
    """One field per setting: `database_url` is `HEADRACE_DATABASE_URL`; lists are JSON in the environment."""

    # a wrong secret must not stand in the message that says so
    model_config = SettingsConfigDict(env_prefix="HEADRACE_", extra="ignore", frozen=True, hide_input_in_errors=True)

    database_url: str
    """libpq URL of the database that holds the catalog (schema `headrace`) and the users' tables (schema `public`)."""

    files_root: Path = Path(".headrace/files")
    """The folder `local_fs` paths are relative to and cannot leave."""

    staging_url: str = ""
    """Where the stages of a run leave rows for each other; all workers must see the same. A folder (a path, or
    `file://…`) or, with the credentials of the environment (`AWS_…`) or of the machine's role, a prefix in an object
    store: `s3://bucket/prefix`. Without it, `staging` beside `files_root`."""

    key_pepper: SecretStr = Field(min_length=16)
    """Secret mixed into the stored hashes of API keys."""

    encryption_keys: SecretStr = SecretStr("")
    """Keys that seal connector credentials, newest first, separated by commas; each is 32 random bytes in base64.
    Without any, connectors cannot have credentials."""

    connector_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """Networks besides the public internet that a connector's test may dial, such as `["10.1.0.0/16"]`."""

    auth: Literal["on", "off"] = "on"
    """`off` is for a local demo: tenant and role come from headers. Refused unless bound to loopback."""

    prefect_api_url: str = "http://127.0.0.1:4200/api"
    work_pool: str = "headrace"

    task_runner: Literal["threads", "dask", "ray"] = "threads"
    """Where the partitions of a run are worked on: in threads of its own process, or on a cluster."""
    dask_address: str = ""
    """The scheduler of a Dask cluster, such as `tcp://10.0.0.7:8786`."""
    ray_address: str = ""
    """A Ray cluster, such as `ray://10.0.0.7:10001`. Without an address a run starts a cluster of its own."""
    task_runner_options: dict[str, Any] = {}
    """Further arguments of Prefect's DaskTaskRunner or RayTaskRunner, as JSON."""
    prefect_blocks: dict[str, tuple[str, ...]] = {"default": ("*",)}
    """Which of Prefect's blocks the connectors of a tenant may name, as patterns of `type/name` by tenant. Prefect has
    no tenants: whoever may change a connector there can have these blocks' values sent to a host of their choice."""

    openlineage_url: str = ""
    """An OpenLineage API, such as `http://marquez:5000`, that is told when runs start and end."""
    openlineage_api_key: SecretStr | None = None
    """Sent to it as `Authorization: Bearer …`."""
    openlineage_file: str = ""
    """A file that the same events are added to, one a line."""
    openlineage_namespace: str = "headrace.{tenant}"
    """The namespace of jobs in these events."""

    host: str = "127.0.0.1"
    port: int = 8000
    public_url: str | None = None
    """Where people reach the API, such as `https://headrace.example.com`: links in reports lead there. Without it they
    lead to host and port."""
    cors_origins: tuple[str, ...] = ()
    max_body_bytes: int = Field(default=4 * 1024 * 1024, ge=1024)
    max_body_depth: int = Field(default=64, ge=4, le=500)
    """How deep the objects and arrays of a body may be nested."""
    body_timeout_s: float = Field(default=30, gt=0)
    """A request whose body has not arrived by then is answered 408."""
    query_timeout_s: float = Field(default=30, gt=0)
    """One statement of the facade that takes longer is given up: 503."""

    rate_limit: int = Field(default=12_000, ge=0)
    """Requests per API key and minute (each process counts its own); 0 is no limit."""
    key_cache_s: float = Field(default=3, ge=0, le=60)
    """For how long a key that was found valid is believed to be: a revoked one works that much longer elsewhere."""

    metrics: Literal["on", "off"] = "on"
    metrics_token: SecretStr | None = None
    """When set, `/metrics` needs it as `Authorization: Bearer …`."""

    @field_validator("encryption_keys")
    @classmethod
    def _readable_keys(cls, value: SecretStr) -> SecretStr:
        Keyring.parse(value.get_secret_value())
        return value

    @field_validator("openlineage_url")
    @classmethod
    def _plain_url(cls, value: str) -> str:
        if value and (not value.startswith(("http://", "https://")) or "@" in value):
            raise ValueError("an http or https URL without a password in it; a key is HEADRACE_OPENLINEAGE_API_KEY")
        return value

    @field_validator("staging_url")
    @classmethod
    def _usable_staging(cls, value: str) -> str:
        if value:
            staging_root(value, Path())
        return value

    @property
    def staging_root(self) -> Path | str:
        """The folder of `staging_url`, or its URL in an object store."""
        return staging_root(self.staging_url, self.files_root)

    @property
    def api_url(self) -> str:
        """The API's address for people, with its base path."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        address = f"[{host}]" if ":" in host else host
        return (self.public_url or f"http://{address}:{self.port}").rstrip("/") + "/api/v1"

    @property
    def keyring(self) -> Keyring:
        """The encryption keys, ready to seal and open."""
        return Keyring.parse(self.encryption_keys.get_secret_value())


_OBJECT_STORES = ("s3", "gs", "az")


def staging_root(url: str, files_root: Path) -> Path | str:
    """See `Settings.staging_url`. Raises ValueError for a URL that cannot hold the rows."""
    scheme, found, rest = url.partition("://")
    if not found:
        return Path(url) if url else files_root.absolute().with_name("staging")
    if scheme == "file" and rest.startswith("/"):
        return Path(rest)
    if scheme not in _OBJECT_STORES or not rest.partition("/")[0] or set(rest) & set("@?#"):
        raise ValueError(
            "rows between stages are kept in a path, file:///path or s3://bucket/prefix (also gs:// and az://), "
            "without credentials in it: those come from the environment, such as AWS_ACCESS_KEY_ID"
        )
    return url


@cache
def settings() -> Settings:
    """The settings of this process, read once. Raises pydantic's ValidationError when one is missing or wrong."""
    return Settings()
