from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Services that say no time to wait are asked again at once, and none is asked slowly."""
    monkeypatch.setattr("headrace.connectors.http.client.pause", lambda tries: 0.0)
    monkeypatch.setattr("headrace.connectors.http.pace.Pace.before", lambda self: None)
