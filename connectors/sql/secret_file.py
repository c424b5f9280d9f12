"""Secret texts as files, for libraries that read keys and certificates from files only."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def secret_file(text: str) -> Iterator[str]:
    """The path of a file with the text, readable by this user only; it is deleted after the block."""
    content = text.strip().encode() + b"\n"
    if hasattr(os, "memfd_create") and Path("/proc/self/fd").is_dir():
        # in memory: no file remains after the process
        handle = os.memfd_create("headrace-tls")
        try:
            os.fchmod(handle, 0o600)
            os.write(handle, content)
            yield f"/proc/self/fd/{handle}"
        finally:
            os.close(handle)
    else:
        with tempfile.NamedTemporaryFile(prefix="headrace-tls-") as file:
            file.write(content)
            file.flush()
            yield file.name
