"""Turns errors of Snowflake and its driver into SourceErrors with a code and a hint."""

from __future__ import annotations

import re

from headrace.connectors.errors import SourceError
from headrace.connectors.network.reachability import hint_of

_LOGIN = (
    (r"incorrect username or password", "bad_credentials", "Check 'username' and 'password' in authConfig."),
    (r"temporarily locked|user is locked|is disabled", "bad_credentials", "An administrator has to let the user in."),
    (
        r"JWT token|private key|public key|pkcs|pem\b",
        "bad_credentials",
        "Check 'privateKey' (PEM text) and its passphrase; the user's RSA_PUBLIC_KEY has to be of the same pair.",
    ),
    (
        r"programmatic access token|\bPAT\b",
        "bad_credentials",
        "Check 'token'. A user needs a network policy for such tokens.",
    ),
    (r"oauth|access token", "bad_credentials", "The OAuth token is not valid, or not any more: give a new one."),
    (r"multi-?factor|\bMFA\b|duo", "bad_credentials", "A run cannot confirm a login: use a key pair or a token."),
    (r"network policy|not allowed to access|IP .* not allowed", "not_permitted", "Allow this server's address there."),
    (r"\brole\b", "not_permitted", "Check 'role' in the connector's config, and GRANT ROLE … TO USER … it."),
    (r"\bwarehouse\b", "not_permitted", "Check 'warehouse' in the connector's config, and GRANT USAGE ON it."),
    (r"\bdatabase\b", "not_permitted", "Check 'database' in the connector's config, and GRANT USAGE ON it."),
    (r"\bschema\b", "not_permitted", "Check 'schema' in the connector's config, and GRANT USAGE ON it."),
    (r"\b40[34]\b", "unknown_account", "Check 'account': an organization's is myorg-myaccount."),
)

_FIRST_NUMBER = 100
"""Numbers below this are the driver's."""
_SESSION_GONE = frozenset((390104, 390110, 390111, 390112, 390114, 390115, 390195))
_EXPIRED = frozenset((705, 707, 709, 710))
"""The error numbers of an expired query result."""
_GONE = re.compile(r"not found|no longer available|expired|does not exist|no information returned", re.IGNORECASE)
_CANCELLED, _TIMED_OUT, _NO_WAREHOUSE = 604, frozenset((630, 627)), 606
_MISSING = frozenset((2003, 2043))
_SUSPENDED = frozenset((607, 608, 609, 612, 90064, 90073))


def said(error: BaseException) -> str:
    """The driver's message in one line, without request ids."""
    text = str(getattr(error, "raw_msg", None) or error).strip()
    line = re.sub(r"\s+", " ", text)
    line = re.sub(r"^(?:\d{6}(?: \([0-9A-Z]{5}\))?: )+", "", line)
    line = re.sub(r"\s*\((?:request_id|sfqid)=[^)]*\)", "", line)
    line = re.sub(r"\bhttps?://\S+", "its address", line)
    return line[:400].rstrip(". ")


def number(error: BaseException) -> int:
    """Snowflake's error number; 0 without one."""
    found = getattr(error, "errno", None)
    if not isinstance(found, int) or found < _FIRST_NUMBER:
        written = re.search(r"\b(\d{6})\b", str(error))
        found = int(written[1]) if written else 0
    return found if found >= _FIRST_NUMBER else 0


def refused(error: BaseException, account: str, *, key_pair: bool) -> SourceError:
    """The error of a login, with a key pair or other credentials."""
    text = said(error)
    if (remedy := _of_tls(text)) is not None:
        return SourceError("connection_failed", f"Snowflake's account {account} cannot be reached: {text}.", remedy)
    for pattern, code, remedy in _LOGIN:
        if re.search(pattern, text, re.I):
            return SourceError(code, f"Snowflake's account {account} does not let this login in: {text}.", remedy)
    if re.search(r"authentication failed", text, re.I):
        remedy = "Check the login in authConfig: each of its texts, and that it is the one the user has."
        if key_pair:
            remedy = "Check 'privateKey' (PEM text) and 'privateKeyPassphrase' in authConfig."
        return SourceError(
            "bad_credentials", f"Snowflake's account {account} does not let this login in: {text}.", remedy
        )
    return SourceError(
        "connection_failed",
        f"Snowflake's account {account} cannot be reached: {text}.",
        hint_of(text) or "Check 'account', 'url' if it is set, and the firewalls between.",
    )


def _of_tls(text: str) -> str | None:
    """The hint for a fault of TLS, whose texts the driver has in those of logins."""
    return hint_of(text) if re.search(r"peer certificate|InvalidContentType|\btls\b|\bssl\b", text, re.I) else None


def failed(error: BaseException, what: str) -> SourceError:
    """The error of a statement or a download; `what` is the relation: `SALES.PUBLIC.ORDERS`. `connection_lost` can be
    retried with a new session."""
    code, text = number(error), said(error)
    state = getattr(error, "sqlstate", None)
    if code in _SESSION_GONE:
        return SourceError("connection_lost", f"The session ended while {what} was read: {text}.", "Try it again.")
    if code in _TIMED_OUT or (code == _CANCELLED and "timeout" in text.lower()):
        return SourceError(
            "timed_out",
            f"Snowflake gave up on {what}: {text}.",
            "Set 'timeoutSeconds' higher, use a larger warehouse, or make the query faster.",
        )
    if code == _NO_WAREHOUSE:
        return SourceError(
            "no_warehouse",
            f"{what} cannot be read: {text}.",
            "Check 'warehouse' in the connector's config, and GRANT USAGE ON WAREHOUSE … TO the role.",
        )
    if code in _SUSPENDED:
        return SourceError(
            "no_warehouse", f"{what} cannot be read: {text}.", "Resume the warehouse, or raise its resource monitor."
        )
    if code in _MISSING or state == "42S02":
        return SourceError(
            "missing_table",
            f"{what} cannot be read: {text}.",
            "It does not exist, or the role may not see it: GRANT SELECT ON … TO the role.",
        )
    if state == "42501" or code in (3001, 3540):
        return SourceError(
            "not_permitted",
            f"{what} may not be read: {text}.",
            "GRANT USAGE ON its DATABASE and SCHEMA and SELECT ON it TO the role.",
        )
    if code == 904:
        return SourceError(
            "missing_column",
            f"{what} cannot be read: {text}.",
            "Names are upper case unless they are in quotes, in Snowflake as in a query.",
        )
    if state is not None and state[:2] in ("42", "22"):
        return SourceError("query_failed", f"{what} cannot be read: {text}.")
    if code == 0 or 390000 <= code < 391000 or code >= 250000:
        return SourceError(
            "connection_lost", f"The connection was lost while {what} was read: {text}.", "Try it again."
        )
    return SourceError("query_failed", f"{what} cannot be read: {text}.")


def result_gone(error: BaseException) -> bool:
    """Whether an error means that the result of a query has expired."""
    return number(error) in _EXPIRED or bool(_GONE.search(said(error)))


def expired(query_id: str, hours: float | None) -> SourceError:
    """The error of an expired result."""
    age = "" if hours is None else f", {hours:.0f} hours after the query ran"
    return SourceError(
        "result_expired",
        f"Snowflake has the result of the query {query_id} no more{age}: it keeps one for 24 hours.",
        "The rest of its rows cannot be read as they were. Start a new run; with a cursor it continues after the rows "
        "that are loaded.",
    )
