"""The witness of the audit log: keeps the latest seal of each chain outside the database, in a file and in memory.

With write access to the database, even with the keys, entries that a witness has seen sealed cannot be deleted
unnoticed. The seals of a witness are not verified: a wrong one can only cause a false alarm.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from headrace.catalog.audit.seals import Seal


class Witness:
    """Keeps seals in the file `path`, which processes of one host may share; without a path only in this process."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen: dict[str, Seal] = {}
        self._lock = threading.Lock()

    def latest(self, tenant_id: str) -> Seal | None:
        """Returns the latest seal of a tenant's chain. Raises OSError or ValueError if the file cannot be read."""
        with self._lock:
            found = [self._seen.get(tenant_id), self._read().get(tenant_id)]
        return max((seal for seal in found if seal is not None), key=lambda seal: seal.sequence, default=None)

    def remember(self, seals: Mapping[str, Seal]) -> None:
        """Stores newer seals by tenant. Raises OSError or ValueError if the file cannot be read or written."""
        with self._lock:
            self._seen |= {tenant: seal for tenant, seal in seals.items() if _newer(seal, self._seen.get(tenant))}
            self._write(seals)

    def forget(self, tenant_id: str) -> None:
        """Removes a tenant's seal: for an operator who accepts the log as it is, after a restore."""
        with self._lock:
            self._seen.pop(tenant_id, None)
            self._write({}, without=tenant_id)

    def _read(self) -> dict[str, Seal]:
        if self._path is None:
            return {}
        try:
            document = json.loads(self._path.read_text(encoding="utf-8"))
            return {tenant: Seal(**facts) for tenant, facts in document.items()}
        except FileNotFoundError:
            return {}
        except (AttributeError, TypeError) as error:
            raise ValueError(f"{self._path} is not a file of audit seals") from error

    def _write(self, seals: Mapping[str, Seal], *, without: str | None = None) -> None:
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(self._path.with_name(f".{self._path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = self._read()
            kept = known | {tenant: seal for tenant, seal in seals.items() if _newer(seal, known.get(tenant))}
            kept.pop(without or "", None)
            if kept != known:
                _replace(self._path, {tenant: asdict(seal) for tenant, seal in sorted(kept.items())})
        finally:
            os.close(lock)


def _newer(seal: Seal, known: Seal | None) -> bool:
    return known is None or seal.sequence > known.sequence or (seal.sequence == known.sequence and seal != known)


def _replace(path: Path, document: dict[str, Any]) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
