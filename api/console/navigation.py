"""The pages that are in the bar at the top of every page."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.api.requests.auth import READ
from headrace.catalog.security.api_keys import Principal, Role


@dataclass(frozen=True, slots=True)
class Entry:
    """A link: its text, its path, the roles that see it, and the paths below which it is the current one."""

    text: str
    path: str
    roles: tuple[Role, ...] = READ
    below: tuple[str, ...] = ()

    def current(self, path: str) -> bool:
        """Whether `path` is a page of this entry."""
        return path == self.path or path.startswith(
            tuple(f"{each}/" for each in (*self.below, self.path) if each != "/")
        )


ENTRIES = (
    Entry("Pipelines", "/", below=("/pipelines", "/runs")),
    Entry("Replications", "/replications"),
    Entry("Connectors", "/connectors"),
    Entry("Schemas", "/schemas"),
    Entry("Calendar", "/calendar"),
    Entry("Audit", "/audit", roles=("admin",)),
    Entry("Keys", "/keys", roles=("admin",)),
)


def entries(principal: Principal | None, path: str) -> list[tuple[Entry, bool]]:
    """The entries that the caller may see, each with whether it is the current one; none before a login."""
    if principal is None:
        return []
    return [(each, each.current(path)) for each in ENTRIES if principal.role in each.roles]
