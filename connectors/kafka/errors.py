"""Turns errors of the client into SourceErrors with a code and a hint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headrace.connectors.errors import SourceError
from headrace.ir.redaction import redact

_DENIED = ("TOPIC_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED", "GROUP_AUTHORIZATION_FAILED")
_LOGIN = ("_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED", "ILLEGAL_SASL_STATE", "UNSUPPORTED_SASL_MECHANISM")
_UNKNOWN = ("UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION", "UNKNOWN_TOPIC_ID")
GONE = ("OFFSET_OUT_OF_RANGE", "_AUTO_OFFSET_RESET")
"""Names of errors for an offset that is no longer available."""


def failed(error: Any, what: str, secrets: Sequence[str], heard: Sequence[Any] = ()) -> SourceError:
    """Of a KafkaError; `what` is what was asked or read. `heard` are errors that the client reported in its callbacks:
    of these the reason is taken where the error itself only says that no broker could be asked."""
    worse = [each for each in heard if each.name() in (*_LOGIN, "_SSL", "_RESOLVE")]
    error = worse[-1] if worse else error
    said = redact(str(error.str()), list(secrets))[:300].rstrip(". ")
    match error.name():
        case name if name in _LOGIN:
            return SourceError(
                "bad_credentials",
                f"The cluster does not let this login in: {said}.",
                "Check 'username', 'password' and config.saslMechanism.",
            )
        case name if name in _DENIED:
            return SourceError("not_permitted", f"{what}: {said}.", "Let the user describe and read the topic.")
        case name if name in _UNKNOWN:
            return SourceError("unknown_topic", f"{what}: {said}.", "Check the topic's name.")
        case "_SSL":
            return SourceError(
                "connection_failed",
                f"TLS with the cluster fails: {said}.",
                "Check 'sslRootCert', and that the brokers' certificates are of their hosts.",
            )
    return SourceError(
        "connection_failed",
        f"{what}: {said}.",
        "Check config.bootstrapServers, the firewalls between, and whether the brokers speak TLS: if not, set "
        "config.securityProtocol to PLAINTEXT or SASL_PLAINTEXT.",
    )


def offsets_gone(where: str, offset: int, low: int | None, high: int | None) -> SourceError:
    """The error for messages that a run has to read and that no longer exist."""
    until = "" if high is None else f" to {high:,}"
    kept = "" if low is None else f" It has those from {low:,}{until} now."
    return SourceError(
        "offsets_gone",
        f"{where} does not have offset {offset:,} any more, where reading has to go on.{kept}",
        "Messages were deleted before they were read, or the topic was recreated. Set onMissingOffsets to earliest "
        "to continue with the oldest, or set the cursor: `headrace cursors`.",
    )


def topic_recreated(topic: str) -> SourceError:
    """The error for a topic whose id has changed."""
    return SourceError(
        "offsets_gone",
        f"The topic '{topic}' was recreated since it was read: its offsets are not comparable.",
        "Set onMissingOffsets to earliest to read the new one from its beginning, or reset the cursors.",
    )
