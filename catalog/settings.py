"""Settings of every Headrace process, read from `HEADRACE_*` in the environment."""

from __future__ import annotations

from functools import cache
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from headrace.catalog.audit.seals import AuditKeys
from headrace.catalog.files_roots import FilesRoots
from headrace.catalog.security.credentials import Keyring, encryption_keys
from headrace.catalog.sizes import parse_bytes

_LEAST_MEMORY = 256 * 1024**2


class Limits(BaseSettings):
    """Memory limits of processes. They can be read without the other settings."""

    model_config = SettingsConfigDict(env_prefix="HEADRACE_", extra="ignore", frozen=True)

    run_memory_limit: str = ""
    """The memory limit of one run: `2GB`, or `25%` of the machine (or of the container, if that has less). By default
    three quarters of the machine divided by `runs_at_once`, at least 1 GB. A run that needs more fails with an error
    that says so."""
    runs_at_once: int = Field(default=0, ge=0)
    """The number of runs that share the machine's memory: `headrace worker --limit` sets it for its runs. 0 means 4."""
    outside_memory_limit: str = "512MB"
    """The memory limit of one plan, preview or connection test, in addition to the base memory of a process; the same
    format as `run_memory_limit`."""

    @field_validator("run_memory_limit", "outside_memory_limit")
    @classmethod
    def _usable_limit(cls, value: str, info: ValidationInfo) -> str:
        if not value and info.field_name == "run_memory_limit":
            return value
        if "%" not in value and parse_bytes(value, whole=0) < _LEAST_MEMORY:
            raise ValueError(f"'{value}' is too small: the minimum is 256MB")
        parse_bytes(value, whole=_LEAST_MEMORY)
        return value


class Settings(Limits):
    """All settings. `database_url` is `HEADRACE_DATABASE_URL`; lists and objects are JSON in the environment."""

    # an error message must not contain an invalid secret
    model_config = SettingsConfigDict(env_prefix="HEADRACE_", extra="ignore", frozen=True, hide_input_in_errors=True)

    database_url: str = Field(repr=False)
    """libpq URL of the database that holds the catalog (schema `headrace`) and the users' tables (schema `public`)."""

    run_database_url: str = ""
    """The same database with the login of runs (role `headrace_run`); by default `database_url`."""
    tenant_login_key: SecretStr | None = None
    """The secret that the passwords of the tenants' database logins are derived from. With it, a run accesses its
    tables as a role of its tenant only. Needs the roles of `headrace db roles`."""

    files_root: Path = Path(".headrace/files")
    """The folder of `local_fs` paths of the tenant `default`, which cannot leave it. Every other tenant has a folder
    beside it, `<files_root>.tenants/<tenant>` (`catalog.files_roots`); `roots` returns the folder of a tenant."""
    files_roots: dict[str, Path] = {}
    """Folders of single tenants, as JSON: `{"shop": "/srv/shop"}`. No folder may be inside another."""

    staging_url: str = ""
    """The place for rows between the stages of a run, shared by all workers. A folder (a path, or `file://…`) or, with
    the credentials of the environment (`AWS_…`) or of the machine's role, a prefix in an object store:
    `s3://bucket/prefix`. By default `staging` beside `files_root`."""

    query_memory_mb: int = Field(default=0, ge=0)
    """Memory of a query of the op `sql` in a run, in MiB; more is written to a folder beside the rows between stages.
    0 is a third of the run's memory limit."""

    key_pepper: SecretStr | None = Field(default=None, min_length=16)
    """The secret that keys the stored hashes of API keys. The API needs it; no other process should have it."""

    encryption_keys: SecretStr = SecretStr("")
    """Keys that encrypt connector credentials, newest first, separated by commas; each is 32 random bytes in base64.
    Without keys, connectors cannot have credentials."""

    connector_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """Networks that connectors may connect to in addition to the public internet, such as `["10.1.0.0/16"]`."""

    connector_role_buckets: tuple[str, ...] = ()
    """Buckets of Amazon S3 that connectors without an access key (`iam_role`) may use with the credentials of this
    server: those of its environment (`AWS_…`) or of its machine's role. This applies to all tenants."""

    auth: Literal["on", "off"] = "on"
    """`off` is for a local demo: tenant and role come from headers. Allowed only when bound to a loopback address."""

    prefect_api_url: str = "http://127.0.0.1:4200/api"
    """The API of Prefect. Its credentials are those of PREFECT_API_AUTH_STRING, as for Prefect's own clients."""
    work_pool: str = "headrace"
    prefect_hosts: str = ""
    """For `deployments.stack.prefect_server`: host names, separated by commas, that are accepted in addition to
    loopback names and that of its UI's address; requests for other hosts are refused."""

    task_runner: Literal["threads", "dask", "ray"] = "threads"
    """Where the partitions of a run are processed: in threads of its own process, or on a cluster."""
    dask_address: str = ""
    """The scheduler of a Dask cluster, such as `tcp://10.0.0.7:8786`."""
    ray_address: str = ""
    """A Ray cluster, such as `ray://10.0.0.7:10001`. Without an address a run starts its own cluster."""
    task_runner_options: dict[str, Any] = {}
    """More arguments of Prefect's DaskTaskRunner or RayTaskRunner, as JSON."""
    prefect_blocks: dict[str, tuple[str, ...]] = {"default": ("*",)}
    """The Prefect blocks that the connectors of a tenant may use, as patterns of `type/name` by tenant. Prefect has no
    tenants: anyone who may change a connector can have the values of these blocks sent to a host of their choice."""

    openlineage_url: str = ""
    """An OpenLineage API, such as `http://marquez:5000`, that receives the starts and ends of runs."""
    openlineage_api_key: SecretStr | None = None
    """The key of that API, sent as `Authorization: Bearer …`."""
    openlineage_file: str = ""
    """A file that the same events are appended to, one per line."""
    openlineage_namespace: str = "headrace.{tenant}"
    """The namespace of jobs in these events."""

    audit_witness: Path | None = None
    """The file in which the API keeps the latest seal of each tenant's audit log, so that entries deleted from the
    database are noticed; by default `audit-heads.json` beside `files_root`. Each seal is also logged."""

    host: str = "127.0.0.1"
    port: int = 8000
    public_url: str | None = None
    """The public address of the API, such as `https://headrace.example.com`, for links in reports. By default host and
    port."""
    cors_origins: tuple[str, ...] = ()
    """Origins that may use the API from a browser (CORS), such as `https://app.example.com`."""
    allowed_hosts: tuple[str, ...] = ()
    """Allowed values of a request's Host, without port, such as `["headrace.example.com", "*.internal"]`; by default
    any. With authentication off, only names of this machine are allowed."""
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    """Networks of reverse proxies whose X-Forwarded-For and X-Forwarded-Proto are trusted; by default none."""

    max_connections: int = Field(default=1000, ge=8, le=100_000)
    """Open connections of one API process; above it, the connections that are idle longest are closed."""
    max_connections_per_address: int = Field(default=0, ge=0)
    """Open connections of one address, except trusted proxies; 0 is half of `max_connections`."""
    head_timeout_s: float = Field(default=10, gt=0)
    """The time within which a request's line and headers must arrive."""
    idle_timeout_s: float = Field(default=15, gt=0)
    """How long a connection is kept open for the next request."""
    write_timeout_s: float = Field(default=30, gt=0)
    """The time after which a client that reads nothing of its response is disconnected."""
    max_requests: int = Field(default=256, ge=1)
    """Concurrent requests of one API process, without event streams; above it: 503."""
    max_requests_per_tenant: int = Field(default=128, ge=1)
    """Concurrent requests of one tenant; above it: 429."""
    max_body_bytes: int = Field(default=4 * 1024 * 1024, ge=1024)
    max_body_depth: int = Field(default=64, ge=4, le=500)
    """The largest depth of nested objects and arrays in a body."""
    body_timeout_s: float = Field(default=30, gt=0)
    """The time within which a request's body must arrive; above it: 408."""
    max_upload_bytes: int = Field(default=1024 * 1024 * 1024, ge=1024)
    """The largest size of a file that is uploaded to a connector; above it: 413."""
    max_uploads_bytes: int = Field(default=20 * 1024 * 1024 * 1024, ge=1024)
    """The largest size of all files that are uploaded to one connector; above it: 413."""
    query_timeout_s: float = Field(default=30, gt=0)
    """The time limit of one SQL statement of the API; above it: 503."""

    preview_timeout_s: float = Field(default=60, gt=0, le=3600)
    """The time limit of a plan or a preview, which read the sources like a run before it begins; above it: 422."""
    connector_test_timeout_s: float = Field(default=10, gt=0, le=300)
    """The time limit of a connection test, which fails above it."""
    outside_work: int = Field(default=0, ge=0)
    """Concurrent plans, previews and connection tests; above it: 429. 0: as many as fit into a quarter of the machine's
    memory, from 4 to 16."""
    outside_work_per_tenant: int = Field(default=3, ge=1)
    """The same for one tenant."""

    rate_limit: int = Field(default=12_000, ge=0)
    """Requests per API key and minute, counted by each process; 0 is no limit."""
    unauthenticated_limit: int = Field(default=600, ge=0)
    """Requests without a valid key per address and minute, counted by each process; 0 is no limit."""
    hook_rate_limit: int = Field(default=300_000, ge=0)
    """Requests per webhook and minute, counted by each process; 0 is no limit."""
    max_hook_records: int = Field(default=1_000_000, ge=1)
    """Records of one webhook that wait to be loaded; above it: 429."""
    max_hook_bytes: int = Field(default=1024 * 1024 * 1024, ge=1024)
    """Bytes of the bodies of these records; above it: 429."""
    max_hook_keys: int = Field(default=10_000_000, ge=1)
    """Idempotency keys of one webhook that are kept; above it: 429."""
    console_session_minutes: int = Field(default=480, ge=1, le=7 * 24 * 60)
    """How long a login to the console lasts; it also ends when its API key is revoked or expires."""
    key_cache_s: float = Field(default=3, ge=0, le=60)
    """How long a valid key is cached: in other processes a revoked key works that much longer."""

    max_running_runs: int = Field(default=50, ge=1)
    """Concurrent runs of a tenant; further runs wait."""
    max_waiting_runs: int = Field(default=500, ge=1)
    """Waiting runs of a tenant; above it, starting a run is refused (429), and the newest scheduled runs are
    dropped."""
    max_event_streams: int = Field(default=50, ge=1)
    """Event streams of a tenant, counted by each API process; above it: 429."""
    max_event_streams_per_key: int = Field(default=20, ge=1)
    """Event streams of one API key."""
    max_event_streams_in_all: int = Field(default=200, ge=1)
    """Event streams of one API process, of all tenants."""
    max_pipelines: int = Field(default=10_000, ge=1)
    max_connectors: int = Field(default=10_000, ge=1)
    max_schemas: int = Field(default=10_000, ge=1)
    max_api_keys: int = Field(default=10_000, ge=1)
    """API keys of a tenant, including revoked ones."""
    max_applied_sets: int = Field(default=1_000, ge=1)
    max_replications: int = Field(default=1_000, ge=1)
    max_ir_versions: int = Field(default=2_000, ge=1)
    """Saved IR versions of one pipeline."""
    max_yaml_connectors: int = Field(default=1_000, ge=1)
    """Connector documents of a tenant."""
    max_yaml_connector_versions: int = Field(default=1_000, ge=1)
    """Saved versions of one connector document."""
    tenant_limits: dict[str, dict[str, Annotated[int, Field(ge=1)]]] = {}
    """Limits of single tenants, as JSON: `{"shop": {"running_runs": 5, "pipelines": 100}}`, by the names of the
    settings above without `HEADRACE_MAX_`."""

    metrics: Literal["on", "off"] = "on"
    metrics_token: SecretStr | None = None
    """If set, `/metrics` requires it as `Authorization: Bearer …`."""

    @field_validator("encryption_keys")
    @classmethod
    def _readable_keys(cls, value: SecretStr) -> SecretStr:
        Keyring.parse(value.get_secret_value())
        return value

    @field_validator("tenant_limits")
    @classmethod
    def _known_limits(cls, value: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
        for name in sorted({name for limits in value.values() for name in limits}):
            if name not in TENANT_LIMITS:
                raise ValueError(f"'{name}' is not a limit of a tenant; those are {', '.join(TENANT_LIMITS)}")
        return value

    def limit(self, name: str, tenant_id: str) -> int:
        """Returns HEADRACE_MAX_<name> for a tenant; `name` is one of `TENANT_LIMITS`."""
        default: int = getattr(self, f"max_{name}")
        return self.tenant_limits.get(tenant_id, {}).get(name, default)

    def smallest(self, name: str) -> int:
        """Returns the smallest value of a limit among all tenants."""
        default: int = getattr(self, f"max_{name}")
        return min(default, *(limits[name] for limits in self.tenant_limits.values() if name in limits), default)

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

    @model_validator(mode="after")
    def _roots_apart(self) -> Settings:
        # the staging folder holds rows of all tenants, and old files in it are deleted
        staging = {"the staging folder": self.staging_root} if isinstance(self.staging_root, Path) else {}
        for problem in self.roots.problems(apart_from=staging):
            raise ValueError(f"folders of files: {problem}")
        return self

    @property
    def roots(self) -> FilesRoots:
        """The folders of tenants' files."""
        return FilesRoots(self.files_root, self.files_roots)

    @property
    def for_runs(self) -> str:
        """The libpq URL of the catalog for runs."""
        return self.run_database_url or self.database_url

    @property
    def pepper(self) -> str:
        """The secret that keys the hashes of API keys. Raises ValueError if it is not set."""
        if self.key_pepper is None:
            raise ValueError("HEADRACE_KEY_PEPPER: the API needs it")
        return self.key_pepper.get_secret_value()

    @property
    def staging_root(self) -> Path | str:
        """The folder or the object store URL of `staging_url`."""
        return staging_root(self.staging_url, self.files_root)

    @property
    def api_url(self) -> str:
        """The public address of the API, with its base path."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        address = f"[{host}]" if ":" in host else host
        return (self.public_url or f"http://{address}:{self.port}").rstrip("/") + "/api/v1"

    @property
    def audit_keys(self) -> AuditKeys:
        """The keys that seal the audit log: derived from the encryption keys, newest first, then from the pepper.
        Raises ValueError if there is no pepper: only the API seals."""
        secrets = encryption_keys(self.encryption_keys.get_secret_value())
        return AuditKeys([*secrets, self.pepper.encode()])

    @property
    def audit_witness_file(self) -> Path:
        """The path of the witness file."""
        return self.audit_witness or self.files_root.absolute().with_name("audit-heads.json")

    @property
    def keyring(self) -> Keyring:
        """The keyring of the encryption keys."""
        return Keyring.parse(self.encryption_keys.get_secret_value())


TENANT_LIMITS = (
    "running_runs",
    "waiting_runs",
    "event_streams",
    "event_streams_per_key",
    "requests_per_tenant",
    "pipelines",
    "connectors",
    "schemas",
    "api_keys",
    "applied_sets",
    "replications",
    "ir_versions",
    "yaml_connectors",
    "yaml_connector_versions",
)
"""The limits that can be set for one tenant."""

_OBJECT_STORES = ("s3", "gs", "az")


def staging_root(url: str, files_root: Path) -> Path | str:
    """Returns the folder or URL of `Settings.staging_url`. Raises ValueError for an unusable URL."""
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
    """Returns the settings of this process, read once. Raises pydantic's ValidationError if one is missing or
    invalid."""
    return Settings()


def limits() -> Limits:
    """Returns the limits of this process from its current environment. Raises pydantic's ValidationError."""
    return Limits()
