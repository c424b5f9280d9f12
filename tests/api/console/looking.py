"""The console of an operator who has files, and who allows loopback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

from tests.api.conftest import Facade


@contextmanager
def with_files(facade: Facade, folder: Path) -> Iterator[Facade]:
    """The facade with the files of a folder: `in/orders.csv` and `in/customers.jsonl`."""
    (folder / "in").mkdir()
    (folder / "in" / "orders.csv").write_text("id,Amount due,note\n1,2.50,a\n2,3.75,b\n")
    (folder / "in" / "customers.jsonl").write_text('{"id": 1, "name": "Ada"}\n')
    services = facade.app.state.services
    changes = {"files_root": folder, "connector_networks": (ip_network("127.0.0.0/8"),)}
    facade.app.state.services = replace(services, settings=services.settings.model_copy(update=changes))
    try:
        yield facade
    finally:
        facade.app.state.services = services
