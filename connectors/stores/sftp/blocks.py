"""Downloads a file over SFTP: many blocks are asked for at once, and each is written when it comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from headrace.connectors.stores.downloads import write_at

if TYPE_CHECKING:
    import asyncssh

BLOCK_BYTES = 1 << 20
"""Larger and smaller ones cost the client more CPU. OpenSSH answers 255 KiB at most."""
ASKED_BYTES = 16 << 20
"""What is asked for at once; some servers hold all of it in memory."""
_MOST_REQUESTS = 128


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
    requests = min(_MOST_REQUESTS, ASKED_BYTES // block)
    async with client.open(path, "rb", block_size=block, max_requests=requests) as file:
        if not is_it(await file.stat()):
            raise OtherVersion
        start = blocks.reached
        async for offset, data in await file.read_parallel(size - start, start):
            blocks.write(offset, data)
