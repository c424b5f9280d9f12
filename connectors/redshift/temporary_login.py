"""Logins with IAM: an access key is changed for a database password that lasts a quarter of an hour.

The request goes to Redshift's API at a checked address, with the connector's key and never the machine's.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any

import psycopg

from headrace.connectors.errors import SourceError
from headrace.connectors.network.egress_proxy import Endpoint
from headrace.connectors.specs.databases import Login, RedshiftLogin
from headrace.connectors.sql.postgresql.login import Access

_REGION = re.compile(r"[a-z0-9][a-z0-9-]{1,40}")
_SECONDS = 20
_NOTHING_OF_THE_MACHINES = {
    **dict.fromkeys(("profile", "ca_bundle"), (None, None, None, None)),
    **dict.fromkeys(("config_file", "credentials_file"), (None, None, os.devnull, None)),
}
"""Overrides AWS_PROFILE, AWS_CA_BUNDLE and the shared config files."""


@dataclass(frozen=True, slots=True)
class TemporaryDoor(Access):
    """A login whose password is requested for each connection. `cluster` is its identifier, `api` the address of
    Redshift's API."""

    key: RedshiftLogin
    cluster: str
    region: str
    api: str

    def connect(self) -> psycopg.Connection[Any]:
        """Opens a connection. Raises SourceError, `not_permitted` if the key may not log in."""
        return Access(self.place, self._login(), self.networks).connect()

    def _login(self) -> Login:
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError
        from botocore.session import Session

        endpoint = Endpoint.of(self.api, self.networks)
        secret, token = self.key.secret_access_key, self.key.session_token
        proxy = endpoint.relay.url
        try:
            client = Session(session_vars=_NOTHING_OF_THE_MACHINES).create_client(
                "redshift",
                region_name=self.region,
                endpoint_url=endpoint.url,
                aws_access_key_id=self.key.access_key_id,
                aws_secret_access_key=None if secret is None else secret.get_secret_value(),
                aws_session_token=None if token is None else token.get_secret_value(),
                config=Config(
                    proxies={"http": proxy, "https": proxy},
                    connect_timeout=_SECONDS,
                    read_timeout=_SECONDS,
                    retries={"total_max_attempts": 3},
                ),
            )
            given = client.get_cluster_credentials(
                DbUser=self.login.username, DbName=self.place.database, ClusterIdentifier=self.cluster, AutoCreate=False
            )
        except ClientError as error:
            said = error.response.get("Error", {})
            raise SourceError(
                "not_permitted",
                f"No login for '{self.login.username}' at the cluster {self.cluster}: {said.get('Message', 'refused')}",
                "The key needs redshift:GetClusterCredentials for the user; check 'clusterIdentifier'.",
            ) from None
        except (BotoCoreError, ResponseParserError) as error:
            raise SourceError(
                "connection_failed", f"Redshift's API does not answer: {type(error).__name__}.", "Check 'region'."
            ) from None
        return Login.model_validate({"username": given["DbUser"], "password": given["DbPassword"]})


def api_of(region: str, endpoint: str | None) -> str:
    """The address of Redshift's API. Raises SourceError(`bad_option`)."""
    if not _REGION.fullmatch(region):
        raise SourceError("bad_option", f"config.region: '{region[:100]}' is not a region.", "Write it as AWS does.")
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return endpoint or f"https://redshift.{region}.{domain}"
