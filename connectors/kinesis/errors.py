"""What an answer of the service means, and the remedy."""

from __future__ import annotations

from datetime import UTC, datetime

from headrace.connectors.errors import SourceError

THROTTLED = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "LimitExceededException",
        "KMSThrottlingException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "SlowDown",
    }
)
"""Codes of answers that ask to come again later."""
EXPIRED = "ExpiredIteratorException"
_LOGIN = frozenset(
    {
        "InvalidSignatureException",
        "UnrecognizedClientException",
        "IncompleteSignatureException",
        "MissingAuthenticationTokenException",
        "MissingAuthenticationToken",
        "InvalidClientTokenId",
        "SignatureDoesNotMatch",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
    }
)
_DENIED = frozenset({"AccessDeniedException", "AccessDenied", "OptInRequired", "KMSAccessDeniedException"})


def refused(code: str, said: str, what: str) -> SourceError:
    """Of an answer with an error's code; `what` is what was asked."""
    said = said[:300].rstrip(". ") or code
    if code in _LOGIN:
        hint = "Check 'accessKeyId' and 'secretAccessKey'; a 'sessionToken' expires."
        return SourceError("bad_credentials", f"The service does not let this login in: {said}.", hint)
    if code in _DENIED:
        needs = "kinesis:DescribeStreamSummary, ListShards, GetShardIterator and GetRecords on the stream"
        return SourceError(
            "not_permitted",
            f"{what}: {said}.",
            f"The key or role needs {needs} (ListStreams for the list; sts:AssumeRole for 'roleArn').",
        )
    if code == "ResourceNotFoundException":
        hint = "Check the stream's name, the region, and whose account the key is of."
        return SourceError("unknown_stream", f"{what}: {said}.", hint)
    if code in THROTTLED:
        hint = "Others read the stream too, or it has too few shards. Retry the run, or add shards."
        return SourceError("throttled", f"{what}: the service kept asking to wait: {said}.", hint)
    return SourceError("refused", f"{what}: {code}: {said}.", "Retry the run; check the stream in the console.")


def not_reached(what: str, why: str) -> SourceError:
    """Of a service that does not answer."""
    hint = "Check config.region and config.endpoint, and the firewalls between."
    if "CERTIFICATE" in why.upper():
        hint = "The endpoint needs a certificate of its host that a public authority signed."
    return SourceError("connection_failed", f"{what}: {why}.", hint)


def records_gone(shard: str, until_ms: int | None, hours: int) -> SourceError:
    """Of a shard whose records may have been deleted before they were read."""
    since = "" if until_ms is None else f" after {moment(until_ms)}"
    return SourceError(
        "offsets_gone",
        f"{shard} may have lost records that came{since}: the stream keeps them for {hours:,} hours, and they were "
        "not read in that time.",
        "Set onMissingOffsets to earliest to go on with the oldest, or set the cursor: `headrace cursors`. Keep "
        "records longer, or run more often.",
    )


def made_anew(stream: str) -> SourceError:
    """Of a stream that was created at another time than the one that was read."""
    return SourceError(
        "offsets_gone",
        f"The stream '{stream}' was deleted and created again since it was read: its records are others.",
        "Set onMissingOffsets to earliest to read the new one from its beginning, or reset the cursors.",
    )


def moment(ms: int) -> str:
    """A time for people."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
