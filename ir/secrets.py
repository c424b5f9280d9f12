"""How a document names a secret without holding it, `${credentials.NAME}`, and what each secret may be used for.

The credentials of a connector have four purposes, by the prefix of their names: `salt…` are keys of hashes, `webhook…`
sign the requests of webhooks, `enrich…` are sent to a provider, and all others are only for the connection. A document
can use a credential only for its purpose, and code that works on documents gets no others: the author of a document can
neither hash the password of a database nor send it anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints, ValidationError
from pydantic_core import PydanticCustomError

from headrace.ir.base import shown
from headrace.ir.problems import Problem, fault
from headrace.ir.web_address import is_host

Purpose = Literal["salt", "webhook", "enrich"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)

MIN_LENGTH = 16
MIN_DISTINCT = 6
"""The least length and distinct characters of a salt or a signing secret: shorter ones can be guessed."""

_EXAMPLE: Mapping[Purpose, str] = {"salt": "saltPeople", "webhook": "webhookSecret", "enrich": "enrichApiKey"}
_REFERENCE = re.compile(r"\$\{credentials\.([A-Za-z_][A-Za-z0-9_]{0,99})\}")
_BLOCK = "prefect://"


def purpose_of(name: str) -> Purpose | None:
    """Returns the purpose of the credential of that name; None for those of the connection."""
    return next((purpose for purpose in PURPOSES if name.startswith(purpose)), None)


def check_purpose(purpose: Purpose, name: str) -> str:
    """Returns the name. Raises a fault if it is not of that purpose."""
    if purpose_of(name) != purpose:
        hint = f"rename it in the authConfig of the pipeline's connector, for example {_EXAMPLE[purpose]}"
        raise fault("invalid_secret", f"'{name}' does not begin with '{purpose}'", hint)
    return name


def document_credentials(credentials: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the credentials that documents may name."""
    return {name: value for name, value in credentials.items() if purpose_of(name) is not None}


def credentials_of_purpose(purpose: Purpose, credentials: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the credentials of one purpose."""
    return {name: value for name, value in credentials.items() if purpose_of(name) == purpose}


def connection_credentials(credentials: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the credentials that are only for the connection."""
    return {name: value for name, value in credentials.items() if purpose_of(name) is None}


def secret_name(reference: str) -> str:
    """Returns the NAME of `${credentials.NAME}`."""
    match = _REFERENCE.fullmatch(reference)
    assert match is not None
    return match[1]


def _secret_reference(purpose: Purpose, text: str) -> str:
    if not _REFERENCE.fullmatch(text):
        # The text is not repeated: it may be the secret itself.
        raise fault(
            "secret_reference",
            "A document names a secret and never contains it",
            f"put it into the authConfig of the pipeline's connector and write ${{credentials.{_EXAMPLE[purpose]}}}",
        )
    check_purpose(purpose, secret_name(text))
    return text


def _shown(purpose: Purpose) -> Any:
    pattern = rf"^\$\{{credentials\.{purpose}[A-Za-z0-9_]{{0,94}}\}}$"
    return shown(pattern, f"${{credentials.{_EXAMPLE[purpose]}}}")


Salt = Annotated[str, AfterValidator(partial(_secret_reference, "salt")), _shown("salt")]
"""`${credentials.NAME}`: the credential NAME of the pipeline's connector, NAME beginning with `salt`."""

ApiKey = Annotated[str, AfterValidator(partial(_secret_reference, "enrich")), _shown("enrich")]
"""`${credentials.NAME}`, NAME beginning with `enrich`."""


def _host(text: str) -> str:
    if not is_host(text):
        raise ValueError("not a host")
    return text


Host = Annotated[str, StringConstraints(max_length=300), AfterValidator(_host)]
"""`api.example.com`, with `:port` if it is not 443, and with `http://` to allow sending the key unencrypted."""


class BoundKey(BaseModel):
    """A provider's key, and the hosts it may be sent to."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    value: Annotated[SecretStr, Field(min_length=1)]
    hosts: Annotated[tuple[Host, ...], Field(min_length=1, max_length=20)]


def parse_bound_key(name: str, credential: object) -> BoundKey:
    """Returns the key with its hosts. Raises a fault if hosts are missing."""
    try:
        return BoundKey.model_validate(credential)
    except ValidationError:
        message = f"The credential '{name}' does not say to which hosts it may be sent"
        hint = f'give it as "{name}": {{"value": "…", "hosts": ["api.example.com"]}}'
        raise fault("unbound_key", message, hint) from None


def check_strength(name: str, secret: object) -> str:
    """Returns a salt or signing secret. Raises a fault, without the secret, if it is too weak."""
    text = secret if isinstance(secret, str) else ""
    if len(text) < MIN_LENGTH or len(set(text)) < MIN_DISTINCT:
        message = (
            f"The credential '{name}' can be guessed: it has to be a text of {MIN_LENGTH} characters or more, "
            f"{MIN_DISTINCT} of them different"
        )
        raise fault("weak_secret", message, "for example what `openssl rand -hex 32` prints")
    return text


def credential_problems(credentials: Mapping[str, Any], path: str = "authConfig") -> list[Problem]:
    """Returns the problems of the credentials that documents may name. Values in Prefect blocks are checked when they
    are read."""
    problems = []
    for name, value in document_credentials(credentials).items():
        if isinstance(value, str) and value.startswith(_BLOCK) and purpose_of(name) != "enrich":
            continue
        try:
            (parse_bound_key if purpose_of(name) == "enrich" else check_strength)(name, value)
        except PydanticCustomError as error:
            context = error.context or {}
            problems.append(Problem(f"{path}.{name}", error.type, context["text"], context["hint"]))
    return problems
