"""The models of hooks: sql, refresh, webhook, custom_function."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from headrace.ir.base import Doc, TableName
from headrace.ir.secrets import check_purpose
from headrace.ir.statements import MAX_STATEMENT, AdminStatement, admin_statement
from headrace.ir.web_address import PATTERN, check_web_address

Seconds = Annotated[int, Field(ge=1, le=3600)]


class HookBase(Doc):
    """An action before or after a load. A hook that takes longer than `timeoutSeconds` has failed."""

    timeout_seconds: Seconds = 300
    """The time limit, in seconds."""


class CustomFunctionHook(HookBase):
    """Calls the function that a package registered as `name` in the entry-point group `headrace.hooks`."""

    type: Literal["custom_function"]
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,99}$")]
    """The name of the entry point."""


class RefreshHook(HookBase):
    """Refreshes `view`. With `concurrently`, readers are not blocked, for which the view needs a unique index. By
    default it is done concurrently where that is possible."""

    type: Literal["refresh"]
    view: TableName
    """A materialized view that reads only tables of the tenant's schemas."""
    concurrently: bool | None = None
    """`true` requires it, `false` forbids it."""


def _checked(text: str) -> str:
    admin_statement(text)
    return text


class SqlHook(HookBase):
    """Runs `statement`: SELECT, ANALYZE, VACUUM, CREATE INDEX or REFRESH MATERIALIZED VIEW, nothing else. `{table}` is
    replaced by the table that is loaded."""

    type: Literal["sql"]
    statement: Annotated[str, StringConstraints(min_length=1, max_length=MAX_STATEMENT), AfterValidator(_checked)]
    """One statement on tables of the tenant's schemas."""

    @property
    def parsed(self) -> AdminStatement:
        """The parsed statement."""
        return admin_statement(self.statement)


WebhookSecret = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_]{1,100}$"), AfterValidator(partial(check_purpose, "webhook"))
]


class WebhookHook(HookBase):
    """Posts JSON to `url`. With `secretRef`, a key of the authConfig of the pipeline's connector, the body is signed:
    `X-Headrace-Signature: sha256=<hmac>`."""

    type: Literal["webhook"]
    url: Annotated[str, StringConstraints(pattern=PATTERN, max_length=2000), AfterValidator(check_web_address)]
    """The address; it must be reachable from the worker."""
    secret_ref: WebhookSecret | None = None
    """The key of the connector's authConfig that holds the secret; it begins with `webhook`."""
    timeout_seconds: Seconds = 10
    """The time limit of one attempt, in seconds; there are three attempts."""
