"""A local SFTP server (asyncssh) with a folder for every account; a test can cut its connections."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
from pathlib import Path
from typing import Any

import asyncssh

PASSWORD = "the password of the account"


class SshServer:
    """`key` is the server's, `login_key` one that every account may log in with. An account is the name of a folder."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="headrace-ssh-"))
        self.key = asyncssh.generate_private_key("ssh-ed25519")
        self.login_key = asyncssh.generate_private_key("ssh-ed25519")
        self.cuts = 0
        """So many reads end the connection."""
        self.logins: list[str] = []
        self.open: list[asyncssh.SSHServerConnection] = []
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="ssh-server", daemon=True).start()
        self._listener = self._do(self._listen())
        self.port: int = self._listener.get_port()

    def folder(self, account: str) -> Path:
        """Where the files of an account lie."""
        folder = self.root / account
        folder.mkdir(exist_ok=True)
        return folder

    def close(self) -> None:
        """Stops the server."""
        self._loop.call_soon_threadsafe(self._listener.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        shutil.rmtree(self.root, ignore_errors=True)

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _listen(self) -> asyncssh.SSHAcceptor:
        server = self

        class Login(asyncssh.SSHServer):
            def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
                self._connection = conn

            def begin_auth(self, username: str) -> bool:
                server.logins.append(username)
                return True

            def password_auth_supported(self) -> bool:
                return True

            def validate_password(self, username: str, password: str) -> bool:
                return password == PASSWORD

            def public_key_auth_supported(self) -> bool:
                return True

            def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
                return key.get_fingerprint() == server.login_key.get_fingerprint()

        class Files(asyncssh.SFTPServer):
            def __init__(self, channel: asyncssh.SSHServerChannel) -> None:
                account = channel.get_extra_info("username")
                self._connection = channel.get_connection()
                super().__init__(channel, chroot=str(server.folder(account)).encode())

            def read(self, file_obj: Any, offset: int, size: int) -> bytes:
                if server.cuts and offset:
                    server.cuts -= 1
                    self._connection.abort()
                    raise asyncssh.SFTPConnectionLost("cut")
                return super().read(file_obj, offset, size)  # type: ignore[return-value]

        return await asyncssh.create_server(
            Login, "127.0.0.1", 0, server_host_keys=[self.key], sftp_factory=Files, config=None
        )
