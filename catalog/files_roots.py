"""The folders of tenants' files: every tenant has its own, and no folder is inside another.

The tenant `default` has the files folder itself. Every other tenant has a folder beside it, never in it:
`<files folder>.tenants/<tenant>`, or one that the operator sets.
"""

from __future__ import annotations

import os
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

DEFAULT_TENANT = "default"
_PLAIN = frozenset(string.ascii_lowercase + string.digits + "_-")


@dataclass(frozen=True, slots=True)
class FilesRoots:
    """`default` is the folder of the tenant `default`; `given` are folders that the operator set, by tenant."""

    default: Path
    given: Mapping[str, Path] = field(default_factory=dict)

    @property
    def others(self) -> Path:
        """The parent of the other tenants' folders. It is beside the files folder and named after it, so that two
        stacks with adjacent files folders do not share it."""
        whole = self.default.absolute()
        return whole.with_name(f"{whole.name}.tenants")

    def of(self, tenant: str) -> Path:
        """Returns the absolute path of a tenant's folder, which may not exist yet."""
        if tenant == DEFAULT_TENANT:
            return self.default.absolute()
        return self.given.get(tenant) or self.others / folder_name(tenant)

    def problems(self, *, apart_from: Mapping[str, Path] | None = None) -> Iterator[str]:
        """Yields a message for each invalid or overlapping folder. `apart_from` are other folders that must not overlap
        with them, by name."""
        named = {"HEADRACE_FILES_ROOT": self.default, f"{self.others.name} beside it": self.others}
        for tenant, folder in self.given.items():
            if tenant == DEFAULT_TENANT:
                yield "the folder of the tenant 'default' is HEADRACE_FILES_ROOT itself: take it out"
            elif not folder.is_absolute():
                yield f"the folder of '{tenant}' must be an absolute path, not '{folder}'"
            elif folder != self.others / folder_name(tenant):
                named[f"that of '{tenant}'"] = folder
        if not self.default.absolute().name:
            yield "HEADRACE_FILES_ROOT must be a folder of its own, not the whole file system"
            return
        yield from overlaps(named | dict(apart_from or {}))


def overlaps(folders: Mapping[str, Path]) -> Iterator[str]:
    """Yields a message for each two folders that are the same or inside each other; links are followed."""
    true = {name: Path(os.path.realpath(folder)) for name, folder in folders.items()}
    for one, other in combinations(true, 2):
        if true[one].is_relative_to(true[other]) or true[other].is_relative_to(true[one]):
            yield f"{one} ({folders[one]}) and {other} ({folders[other]}) must not be inside each other"


def folder_name(tenant: str) -> str:
    """Returns the name of a tenant's folder, unique among tenants also on a case-insensitive file system: lower-case
    letters, digits, `_` and `-` are kept, all other bytes are written as `%` and two hexadecimal digits."""
    plain = (chr(byte) if chr(byte) in _PLAIN else f"%{byte:02X}" for byte in tenant.encode())
    return "".join(plain) or "%"
