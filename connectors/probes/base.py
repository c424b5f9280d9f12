"""What a connection test is given and what it finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from connectors.egress import Network


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What belongs to the server rather than to the connector."""

    files_root: Path
    networks: Sequence[Network] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """What answered: a sentence, and some of what is there as JSON."""

    message: str
    sample: Mapping[str, Any]


class Probe(Protocol):
    """Connects as a run would, looks and changes nothing. Raises SourceError with a text for a person."""

    def __call__(
        self, config: Mapping[str, Any], credentials: Mapping[str, Any], surroundings: Surroundings
    ) -> Found: ...
