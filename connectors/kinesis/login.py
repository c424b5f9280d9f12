"""Where a stream is asked for, and who asks: an access key, the server's own role where the operator lends it, or a
role that one of these takes on."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import time
from typing import Any

from pydantic import ValidationError

from headrace.connectors.connector import Connection, Context
from headrace.connectors.errors import SourceError
from headrace.connectors.kinesis.errors import not_reached, refused
from headrace.connectors.network.egress import Network
from headrace.connectors.network.egress_proxy import Endpoint
from headrace.connectors.network.web_address import WebAddress
from headrace.connectors.specs.base import problems_of
from headrace.connectors.specs.services import Kinesis, KinesisLogin
from headrace.ir.redaction import redact

_REGION = re.compile(r"[a-z0-9][a-z0-9-]{1,40}")
_SECONDS = 20
_EARLY_S = 300
"""Seconds before their end at which a role's keys are requested again."""
_NOTHING_OF_THE_MACHINES = {
    **dict.fromkeys(("profile", "ca_bundle"), (None, None, None, None)),
    **dict.fromkeys(("config_file", "credentials_file"), (None, None, os.devnull, None)),
}
"""Instead of what the variables AWS_PROFILE, AWS_CA_BUNDLE and those of its files say."""


@dataclass(slots=True)
class Access:
    """The way to a stream. Nothing is dialled before it is needed."""

    address: WebAddress
    place: Kinesis
    login: KinesisLogin
    networks: Sequence[Network]
    _assumed: tuple[Any, float] | None = field(default=None, repr=False)
    _own: Any = field(default=None, repr=False)

    @property
    def encrypted(self) -> bool:
        """Whether it is reached with TLS."""
        return self.address.url.scheme == "https"

    @property
    def secrets(self) -> list[str]:
        """What no message may hold."""
        given = (self.login.secret_access_key, self.login.session_token, self.login.external_id)
        assumed = () if self._assumed is None else (self._assumed[0].secret_key, self._assumed[0].token)
        return [*(each.get_secret_value() for each in given if each is not None), *assumed]

    def keys(self) -> Any:
        """Credentials as botocore signs with them, valid for some minutes. Raises SourceError."""
        if self.login.role_arn is None:
            return self._first()
        if self._assumed is None or self._assumed[1] - time() < _EARLY_S:
            self._assumed = self._assume(self.login.role_arn)
        return self._assumed[0]

    def forget(self) -> None:
        """Requests new keys of a role at the next use, because the present ones were refused."""
        self._assumed = None

    def _first(self) -> Any:
        from botocore.credentials import Credentials
        from botocore.exceptions import BotoCoreError
        from botocore.session import Session

        if self.login.access_key_id is not None:
            secret, token = self.login.secret_access_key, self.login.session_token
            assert secret is not None
            given = None if token is None else token.get_secret_value()
            return Credentials(self.login.access_key_id, secret.get_secret_value(), given)
        try:
            if self._own is None:
                self._own = Session().get_credentials()
            if self._own is not None:
                return self._own.get_frozen_credentials()
        except BotoCoreError as error:
            raise SourceError("bad_credentials", f"The server's own role: {type(error).__name__}.") from None
        raise SourceError("bad_credentials", "The server has no role of its own.", "Give the connector an access key.")

    def _assume(self, arn: str) -> tuple[Any, float]:
        """The keys of a role, from the security token service at a checked address."""
        from botocore.config import Config
        from botocore.credentials import Credentials
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError
        from botocore.session import Session

        keys, what = self._first(), f"Taking on the role {arn}"
        endpoint = Endpoint.of(self.place.sts_endpoint or api_of("sts", self.place.region, None), self.networks)
        proxy = endpoint.relay.url
        more = {} if self.login.external_id is None else {"ExternalId": self.login.external_id.get_secret_value()}
        try:
            client = Session(session_vars=_NOTHING_OF_THE_MACHINES).create_client(
                "sts",
                region_name=self.place.region,
                endpoint_url=endpoint.url,
                aws_access_key_id=keys.access_key,
                aws_secret_access_key=keys.secret_key,
                aws_session_token=keys.token,
                config=Config(
                    proxies={"http": proxy, "https": proxy},
                    connect_timeout=_SECONDS,
                    read_timeout=_SECONDS,
                    retries={"total_max_attempts": 3},
                ),
            )
            given = client.assume_role(RoleArn=arn, RoleSessionName="headrace", **more)["Credentials"]
        except ClientError as error:
            said = error.response.get("Error", {})
            text = redact(str(said.get("Message", "")), self.secrets)
            raise refused(str(said.get("Code", "refused")), text, what) from None
        except (BotoCoreError, ResponseParserError) as error:
            raise not_reached(what, f"the token service does not answer ({type(error).__name__})") from None
        made = Credentials(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
        return made, given["Expiration"].timestamp()


def access(context: Context) -> Access:
    """The way to the streams of a connection. Raises SourceError(`bad_credentials`, `bad_option`, `bad_url`)."""
    place, login = place_of(context.connection), _login(context.connection)
    stream = str(context.settings.get("streamName") or place.stream_name)
    _lent(context, place, login, stream)
    address = WebAddress.of(api_of("kinesis", place.region, place.endpoint))
    return Access(address, place, login, (*context.surroundings.networks,))


def place_of(connection: Connection) -> Kinesis:
    """The connection's config. Raises SourceError(`bad_option`)."""
    config = dict(connection.config)
    if found := problems_of(Kinesis, config):
        raise SourceError("bad_option", f"{found[0].path}: {found[0].message}.", found[0].hint)
    return Kinesis.model_validate(config)


def api_of(service: str, region: str, endpoint: str | None) -> str:
    """Where a service is. Raises SourceError(`bad_option`)."""
    if not _REGION.fullmatch(region):
        raise SourceError("bad_option", f"config.region: '{region[:100]}' is not a region.", "Write it as AWS does.")
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return (endpoint or f"https://{service}.{region}.{domain}").rstrip("/")


def _login(connection: Connection) -> KinesisLogin:
    given = {name: value for name, value in connection.credentials.items() if value}
    try:
        login = KinesisLogin.model_validate(given)
    except ValidationError:
        login = None
    if login is None or (login.access_key_id is None) != (login.secret_access_key is None):
        raise SourceError(
            "bad_credentials",
            "The login is not complete.",
            "authConfig needs 'accessKeyId' and 'secretAccessKey', 'sessionToken' for a key that expires, and "
            "'roleArn' for a role to take on.",
        )
    return login


def _lent(context: Context, place: Kinesis, login: KinesisLogin, stream: str) -> None:
    """Whether the server's own role may be used, where there is no access key: for what the operator names, and with
    Amazon alone."""
    if login.access_key_id is not None:
        return
    named = login.role_arn or f"kinesis:{place.region}/{stream}"
    if named not in context.surroundings.role_buckets:
        raise SourceError(
            "bad_credentials",
            f"The connector has no access key, and the server's own role is not lent for '{named}'.",
            "Give 'accessKeyId' and 'secretAccessKey', or ask the operator to allow it: "
            f'HEADRACE_CONNECTOR_ROLE_BUCKETS=["{named}"].',
        )
    if place.endpoint or place.sts_endpoint:
        raise SourceError(
            "bad_option",
            "config.endpoint: the server's own role is for Amazon Kinesis alone.",
            "Take the endpoint out, or give an access key.",
        )
