"""How a document names a secret without holding it: `${credentials.NAME}`, looked up in the pipeline's connector."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from ir.base import shown
from ir.problems import fault

_REFERENCE = re.compile(r"\$\{credentials\.([A-Za-z_][A-Za-z0-9_]{0,99})\}")


def secret_name(reference: str) -> str:
    """The NAME of `${credentials.NAME}`."""
    match = _REFERENCE.fullmatch(reference)
    assert match is not None
    return match[1]


def _secret_reference(text: str) -> str:
    if not _REFERENCE.fullmatch(text):
        # The text is not repeated: it may be the secret itself.
        raise fault(
            "secret_reference",
            "A secret is named in a document, never written into it",
            "put it into the authConfig of the pipeline's connector and write ${credentials.NAME}",
        )
    return text


SecretReference = Annotated[
    str, AfterValidator(_secret_reference), shown(f"^{_REFERENCE.pattern}$", "${credentials.salt}")
]
"""`${credentials.NAME}`: the credential NAME of the pipeline's connector."""
