"""Connection tests by connector type. A new one is one module and one line in PROBES."""

from __future__ import annotations

from connectors.probes.base import Found, Probe, Surroundings
from connectors.probes.local_fs import probe_local_files
from connectors.probes.postgresql import probe_postgresql

PROBES: dict[str, Probe] = {"local_fs": probe_local_files, "postgresql": probe_postgresql}

__all__ = ["PROBES", "Found", "Probe", "Surroundings"]
