"""An SSH login with a known host key, and its SFTP client, run by an event loop in a thread."""

from __future__ import annotations

import asyncio
import socket
import threading
import weakref
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from headrace.connectors.errors import SourceError
from headrace.connectors.network.egress import Network, allowed_addresses

if TYPE_CHECKING:
    import asyncssh

T = TypeVar("T")

_CONNECT_S = 10
_LOGIN_S = 20
_MAX_ADDRESSES = 2
_PACKET_BYTES = 128 << 10
"""The largest packet that the server may send: each costs asyncssh about as much as 30 KiB of content. OpenSSH sends 32
KiB at most."""
_KINDS = (
    ("ssh-ed25519",),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    ("rsa-sha2-512", "rsa-sha2-256"),
)
"""Host key algorithms by kind. A server has one key of each kind; a fingerprint does not say which kind it is."""


class SessionLost(Exception):
    """The connection has ended; the next request reconnects."""


@dataclass(frozen=True, slots=True)
class Account:
    """A login. `host_key` is a public key or its SHA256 fingerprint."""

    host: str
    port: int
    host_key: str
    username: str
    password: str | None = field(default=None, repr=False)
    private_key: str | None = field(default=None, repr=False)
    passphrase: str | None = field(default=None, repr=False)


class SshSession:
    """The SFTP client of one account. Raises SourceError."""

    def __init__(self, account: Account, networks: Sequence[Network]) -> None:
        self._account, self._networks = account, networks
        self._loop = asyncio.new_event_loop()
        self._open: list[Any] = []
        """The connection and its client; empty if not connected."""
        self._alone = threading.Lock()
        threading.Thread(target=_run, args=(self._loop,), name="sftp", daemon=True).start()
        self.close = weakref.finalize(self, _stop, self._loop, self._open)

    def ask(self, question: Callable[[asyncssh.SFTPClient], Awaitable[T]]) -> T:
        """The result of `question`. Raises Lost, SourceError, and asyncssh's SFTPError."""
        import asyncssh

        with self._alone:
            if not self._open or self._open[0].is_closed():
                self._open[:] = self._connected()
            client = self._open[1]
        try:
            return self._wait(question(client))
        except (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection, asyncssh.ConnectionLost, OSError) as error:
            raise SessionLost(type(error).__name__) from None

    def _wait(self, work: Awaitable[T]) -> T:
        async def awaited() -> T:
            return await work

        return asyncio.run_coroutine_threadsafe(awaited(), self._loop).result()

    def _connected(self) -> list[Any]:
        account = self._account
        addresses = allowed_addresses(account.host, account.port, self._networks)[:_MAX_ADDRESSES]
        wanted = _HostKey(account.host_key)
        problem: SourceError | None = None
        for kinds in wanted.kinds:
            try:
                return self._wait(self._login(addresses, wanted, kinds))
            except _NoSuchKey as none:
                problem = _failed(account, none)
        raise wanted.refused(account.host) if wanted.seen or problem is None else problem

    async def _login(self, addresses: list[str], wanted: _HostKey, kinds: Sequence[str]) -> list[Any]:
        import asyncssh

        account = self._account
        dialled = await asyncio.get_running_loop().run_in_executor(None, _dialled, account, addresses)
        try:
            connection = await asyncssh.connect(
                account.host,
                account.port,
                sock=dialled,
                options=_options(account, wanted, kinds),
            )
        except asyncssh.PermissionDenied:
            raise SourceError(
                "login_refused",
                f"{account.host} does not let '{account.username}' in with these credentials.",
                "authConfig needs 'username' and 'password', or 'username' and 'privateKey'.",
            ) from None
        except (asyncssh.Error, OSError) as error:
            if not wanted.shown:  # the server has no key of that kind, or another one
                raise _NoSuchKey(str(error)) from None
            raise _failed(account, error) from None
        try:
            client = await connection.start_sftp_client(path_errors="surrogateescape")
        except (asyncssh.Error, OSError) as error:
            connection.abort()
            raise _failed(account, error) from None
        return [connection, client]


class _NoSuchKey(Exception):
    """The server shows another key than the known one."""


class _HostKey:
    """The known host key, and the fingerprints that the server showed."""

    def __init__(self, text: str) -> None:
        import asyncssh

        self._text = text.strip()
        self.seen: dict[str, str] = {}
        self.shown = False
        self.kinds: Sequence[Sequence[str]] = _KINDS
        self._fingerprint = self._text
        if self._text and not self._text.startswith("SHA256:"):
            try:
                key = asyncssh.import_public_key(self._text)
            except (asyncssh.KeyImportError, ValueError):
                raise SourceError(
                    "bad_option",
                    "config.hostKey is neither a public key nor a fingerprint.",
                    "For example 'ssh-ed25519 AAAA…' or 'SHA256:…', as ssh-keyscan and ssh-keygen -lf show them.",
                ) from None
            self._fingerprint = key.get_fingerprint()
            self.kinds = [next((each for each in _KINDS if key.get_algorithm() in each), _KINDS[2])]

    def is_of(self, key: asyncssh.SSHKey) -> bool:
        """Whether it is the known host key."""
        found = key.get_fingerprint()
        self.seen[found] = key.get_algorithm()
        self.shown = bool(self._fingerprint) and found.rstrip("=") == self._fingerprint.rstrip("=")
        return self.shown

    def refused(self, host: str) -> SourceError:
        """The error for an unknown or changed host key."""
        seen = ", ".join(f"{found} ({kind})" for found, kind in self.seen.items()) or "no key that is known here"
        if not self._text:
            return SourceError(
                "host_key_needed",
                f"The key of {host} is not known; it showed {seen}.",
                "Compare that with what its operator says, and set config.hostKey to it.",
            )
        return SourceError(
            "host_key_changed",
            f"{host} has another key than config.hostKey says; it showed {seen}.",
            "It is another server, or an interception. Ask its operator before you change config.hostKey.",
        )


def _options(account: Account, wanted: _HostKey, kinds: Sequence[str]) -> asyncssh.SSHClientConnectionOptions:
    """Connection options. Everything that asyncssh would take from this machine's home folder or environment is off."""
    import asyncssh

    class Client(asyncssh.SSHClient):
        def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
            return wanted.is_of(key)

    try:
        keys = [asyncssh.import_private_key(account.private_key, account.passphrase)] if account.private_key else None
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, ValueError):
        raise SourceError(
            "bad_credentials",
            "The private key cannot be read.",
            "authConfig.privateKey is a key in PEM or OpenSSH form; 'passphrase' opens one that is encrypted.",
        ) from None
    return asyncssh.SSHClientConnectionOptions(
        config=None,
        client_factory=Client,
        known_hosts=([], [], []),
        server_host_key_algs=list(kinds),
        # fastest with AES instructions of the CPU
        encryption_algs="^aes128-gcm@openssh.com,aes256-gcm@openssh.com",
        compression_algs=["none"],
        max_pktsize=_PACKET_BYTES,
        username=account.username,
        password=account.password,
        client_keys=keys,
        agent_path=None,
        agent_forwarding=False,
        gss_kex=False,
        gss_auth=False,
        host_based_auth=False,
        kbdint_auth=False,
        x509_trusted_certs=None,
        connect_timeout=_CONNECT_S,
        login_timeout=_LOGIN_S,
        keepalive_interval=30,
    )


def _dialled(account: Account, addresses: list[str]) -> socket.socket:
    """A socket connected to one of the checked addresses: the name is not resolved a second time."""
    problem = OSError("no address")
    for address in addresses:
        try:
            return socket.create_connection((address, account.port), timeout=_CONNECT_S)
        except OSError as error:
            problem = error
    raise _failed(account, problem)


def _failed(account: Account, error: Exception) -> SourceError:
    said = str(getattr(error, "strerror", None) or getattr(error, "reason", None) or error or type(error).__name__)
    return SourceError(
        "connection_failed",
        f"{account.host}:{account.port} cannot be connected to: {said[:200].rstrip('.')}.",
        "Check host, port and firewall, and that an SSH server with SFTP answers there.",
    )


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()


def _stop(loop: asyncio.AbstractEventLoop, opened: list[Any]) -> None:
    def end() -> None:
        if opened:
            opened[0].abort()
        loop.call_later(0.1, loop.stop)

    with suppress(RuntimeError):  # the interpreter is shutting down
        loop.call_soon_threadsafe(end)
