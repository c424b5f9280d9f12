"""How the clients of object stores are made: with what the connector says, and nothing of the server's surroundings."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from headrace.connectors.errors import SourceError
from headrace.connectors.network.egress_proxy import EgressProxy
from headrace.connectors.stores.object_store.refusals import client_message

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

T = TypeVar("T")


def make_client(place: str, make: Callable[[], T]) -> T:
    """Creates a client. Raises SourceError if its library refuses: it reads the environment in any case, so invalid
    variables there may be the cause."""
    try:
        return make()
    except Exception as error:
        if not type(error).__module__.startswith("obstore") and not isinstance(error, ValueError | TypeError):
            raise
        hint = "See the connector's config, and the settings of the server's environment (AWS_…, AZURE_…, GOOGLE_…)."
        raise SourceError("not_readable", f"{place} cannot be asked: {client_message(str(error))}.", hint) from None


def retry_config() -> RetryConfig:
    """How often the client repeats a request after a transient failure."""
    return {
        "max_retries": 6,
        "retry_timeout": timedelta(seconds=60),
        "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=5), "base": 2},
    }


def client_options(relay: EgressProxy, *, plain: bool, excludes: str = "") -> ClientConfig:
    """Options for a client that reaches one host only and ignores the environment."""
    options: ClientConfig = {
        "proxy_url": relay.url,
        "allow_http": plain,
        "allow_invalid_certificates": False,
        "connect_timeout": "10s",
        "read_timeout": "60s",
        "timeout": "1h",  # a large file may take long, while data arrive
    }
    if excludes:
        options["proxy_excludes"] = excludes
    return options
