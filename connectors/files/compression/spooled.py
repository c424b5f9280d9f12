"""A decompressed copy of a file, for formats that need random access."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headrace.connectors.files.compression.reading import SPOOLED, ExpansionLimits, open_compressed
from headrace.connectors.files.local.safe_open import path_of_fd

_STEP = 1 << 20


@contextmanager
def spooled(
    path: Path, compression: str | None, *, bounds: ExpansionLimits = SPOOLED, folder: Path | None = None
) -> Iterator[Path]:
    """The file itself if it is not compressed, else a temporary copy that is gone afterwards, even if the process dies.
    Raises SourceError."""
    if compression is None:
        yield path
        return
    with tempfile.TemporaryFile(dir=folder) as copy:
        content = open_compressed(path, compression, bounds=bounds)
        try:
            while block := content.read(_STEP):
                copy.write(block)
        finally:
            content.close()
        copy.flush()
        yield path_of_fd(copy.fileno())
