"""What object stores and their client say when they refuse, and the remedies."""

from __future__ import annotations

import re


def element(said: str, tag: str) -> str:
    """The text of an element of an answer in XML; empty if there is none."""
    found = re.search(rf"<{tag}>([^<]{{1,300}})</{tag}>", said)
    return found[1].partition("\n")[0].strip(". ") if found else ""


def client_message(said: str) -> str:
    """The client's own message without URLs, which may contain a signature."""
    line = said.partition("\n")[0]
    line = re.sub(r"https?://\S+", "its address", line)
    return line.rpartition(" - ")[2][:300].rstrip(". :") or "it does not answer"


NO_PLACE = ("NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist")
"""Signs that the bucket itself is missing."""

HINTS: dict[tuple[str, ...], tuple[str, str]] = {
    NO_PLACE: ("no_such_bucket", "Create the bucket, or correct its name in the connector."),
    (
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "ExpiredToken",
        "InvalidToken",
        "AuthenticationFailed",
        "AuthorizationFailure",
        "401 Unauthorized",
        "invalid_grant",
    ): ("login_refused", "Give the connector valid credentials."),
    ("403 Forbidden", "AccessDenied", "AuthorizationPermissionMismatch"): (
        "access_refused",
        "Let its user list and read objects there; write and delete too where config.atomicity is set.",
    ),
    ("incorrectly configured region", "AuthorizationHeaderMalformed", "PermanentRedirect"): (
        "",
        "Set config.region to the bucket's region.",
    ),
    ("instance metadata", "latest/api", "169.254.169.254"): (
        "login_refused",
        "This server has no role: give the connector an access key, or run it where there is one.",
    ),
    ("invalid path", "Could not parse path"): (
        "bad_path",
        "Names with '//', '.' or '..' between slashes cannot be read: rename the object.",
    ),
}
"""By signs in what is said: the code of the error (empty: that of the operation), and the remedy."""
