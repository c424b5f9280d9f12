"""The connector `sftp`: files on an SSH server with a known host key."""

from __future__ import annotations

from pathlib import PurePosixPath

from pydantic import ValidationError

from headrace.connectors.connector import Connector, Context, DatasetName, Found
from headrace.connectors.errors import SourceError
from headrace.connectors.files.config_checks import file_problems
from headrace.connectors.files.connection_test import found_files
from headrace.connectors.files.discovery import file_stream, file_streams
from headrace.connectors.files.settings import FileSettings
from headrace.connectors.files.source import FileSource
from headrace.connectors.specs.files import Sftp, SshLogin
from headrace.connectors.stores.remote import pattern_name
from headrace.connectors.stores.sftp.files import SftpFiles
from headrace.connectors.stores.sftp.session import Account, SshSession


def sftp_files(context: Context) -> SftpFiles:
    """The store of a connection; it connects on first use. Raises SourceError."""
    config = Sftp.model_validate(dict(context.connection.config))
    account = _account(context, config)
    base = config.base_path or ""
    if ".." in PurePosixPath(base).parts or any(mark in base for mark in "\0\r\n"):
        raise SourceError("bad_option", "config.basePath is not a folder.", "Write it without '..'.")
    where = f"[{config.host}]" if ":" in config.host else config.host
    place = f"sftp://{where}:{config.port}/{base.lstrip('/')}".rstrip("/")
    return SftpFiles(SshSession(account, context.surroundings.networks), place, base, context.surroundings.scratch)


def _account(context: Context, config: Sftp) -> Account:
    named = {"username" if name == "user" else name: value for name, value in context.connection.credentials.items()}
    try:
        login = SshLogin.model_validate({name: value for name, value in named.items() if value not in (None, "")})
    except ValidationError:
        login = None
    if login is None or (login.password is None and login.private_key is None):
        raise SourceError(
            "bad_credentials",
            "The login is not complete.",
            "authConfig needs 'username' and 'password', or 'username' and 'privateKey' (with 'passphrase').",
        )
    secrets = (
        each.get_secret_value() if each is not None else None
        for each in (login.password, login.private_key, login.passphrase)
    )
    return Account(config.host, config.port, config.host_key or "", login.username, *secrets)


def _open(context: Context) -> FileSource:
    return FileSource(
        "sftp", context.settings, sftp_files(context), fields=context.fields, scratch=context.surroundings.scratch
    )


def _check(context: Context) -> Found:
    files = sftp_files(context)
    return found_files(FileSource("sftp", {}, files), files.place)


def _dataset(context: Context) -> DatasetName:
    config = context.connection.config
    namespace = f"sftp://{config.get('host')}:{config.get('port', 22)}"
    return DatasetName(namespace, "/" + pattern_name(context.settings, config.get("basePath")))


SFTP = Connector(
    "sftp",
    ("sftp",),
    check=_check,
    open=_open,
    settings=FileSettings,
    problems=file_problems,
    dataset=_dataset,
    streams=file_streams(_open),
    stream=file_stream(_open),
    files=True,
    extra="sftp",
)
