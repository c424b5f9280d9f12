"""Downloads a file over SFTP: many blocks are asked for at once, and each is written when it comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from headrace.connectors.stores.downloads import write_at

if TYPE_CHECKING:
    import asyncssh

BLOCK_BYTES = 256 << 10
"""Blocks of this size cost the client less CPU than reads of 4 MiB, which asyncssh puts together from packets
and copies as a whole. OpenSSH answers 255 KiB at most."""


class OtherVersion(Exception):
    """The file on the server is not the one that was listed."""


class NotWritten(Exception):
    """The local file could not be written; the cause is an OSError."""


class Blocks:
    """Writes blocks to an open local file, in whatever order they come."""

    def __init__(self, into: int, start: int) -> None:
        self._into = into
        self.reached = start
        """All bytes from `start` to here are written."""
        self._ahead: dict[int, int] = {}

    def write(self, offset: int, data: bytes) -> None:
        """Raises NotWritten."""
        try:
            write_at(self._into, data, offset)
        except OSError as error:
            raise NotWritten from error
        self._ahead[offset] = offset + len(data)
        while (end := self._ahead.pop(self.reached, None)) is not None:
            if end == self.reached:
                break
            self.reached = end


async def download(
    client: asyncssh.SFTPClient, path: str, is_it: Callable[[asyncssh.SFTPAttrs], bool], size: int, blocks: Blocks
) -> None:
    """Fetches a file from `blocks.reached` to `size`. Ends early where the file does. Raises OtherVersion, NotWritten
    and what asyncssh raises."""
    block = min(client.limits.max_read_len or BLOCK_BYTES, BLOCK_BYTES)
    async with client.open(path, "rb", block_size=block) as file:
        if not is_it(await file.stat()):
            raise OtherVersion
        start = blocks.reached
        async for offset, data in await file.read_parallel(size - start, start):
            blocks.write(offset, data)
