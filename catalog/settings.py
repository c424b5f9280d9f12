"""Settings of every Headrace process, read from `HEADRACE_*` in the environment."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """One field per setting: `database_url` is `HEADRACE_DATABASE_URL`; lists are JSON in the environment."""

    model_config = SettingsConfigDict(env_prefix="HEADRACE_", extra="ignore", frozen=True)

    database_url: str
    """libpq URL of the database that holds the catalog (schema `headrace`) and the users' tables (schema `public`)."""

    files_root: Path = Path(".headrace/files")
    """The folder `local_fs` paths are relative to and cannot leave."""

    key_pepper: SecretStr = Field(min_length=16)
    """Secret mixed into the stored hashes of API keys; connector credentials are sealed with a key derived from it."""

    auth: Literal["on", "off"] = "on"
    """`off` is for a local demo: tenant and role come from headers. Refused unless bound to loopback."""

    prefect_api_url: str = "http://127.0.0.1:4200/api"
    work_pool: str = "headrace"

    host: str = "127.0.0.1"
    port: int = 8000
    cors_origins: tuple[str, ...] = ()
    max_body_bytes: int = Field(default=4 * 1024 * 1024, ge=1024)


@cache
def settings() -> Settings:
    """The settings of this process, read once. Raises pydantic's ValidationError when one is missing or wrong."""
    return Settings()
