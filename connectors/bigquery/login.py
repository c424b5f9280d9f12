"""The project and endpoint of BigQuery, and the credentials of a service account."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.connectors.connector import Context
from headrace.connectors.errors import SourceError
from headrace.connectors.network.egress import Network
from headrace.connectors.network.google_account import BIGQUERY, ServiceAccount
from headrace.connectors.network.web_address import WebAddress
from headrace.connectors.specs.base import problems_of
from headrace.connectors.specs.databases import BigQuery

_REST = "https://bigquery.googleapis.com"
_STORAGE = "https://bigquerystorage.googleapis.com"


@dataclass(frozen=True, slots=True)
class Access:
    """The addresses of the two APIs, and the account. Its `repr` contains no secret."""

    place: BigQuery
    rest: WebAddress
    storage: WebAddress
    account: ServiceAccount
    networks: tuple[Network, ...]


def access(context: Context) -> Access:
    """The login of a connection. Raises SourceError(`bad_credentials`, `bad_option`, `bad_url`)."""
    config = dict(context.connection.config)
    if found := problems_of(BigQuery, config):
        raise SourceError("bad_option", f"{found[0].path}: {found[0].message}.", found[0].hint)
    place = BigQuery.model_validate(config)
    networks = (*context.surroundings.networks,)
    return Access(
        place,
        WebAddress.of(place.endpoint or _REST),
        WebAddress.of(place.storage_endpoint or _STORAGE),
        ServiceAccount.of(context.connection.credentials, networks, BIGQUERY),
        networks,
    )
