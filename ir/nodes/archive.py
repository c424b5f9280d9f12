"""The archive node of old documents: where a source's files go once they are loaded."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import StringConstraints, model_validator

from ir.base import Doc
from ir.nodes.base import NodeBase
from ir.problems import fault

Folder = Annotated[str, StringConstraints(min_length=1, max_length=500)]


class ArchiveConfig(Doc):
    """`folder` may be called `path` or `successFolder`."""

    folder: Folder | None = None
    """Where a source's files go."""
    path: Folder | None = None
    """The same."""
    success_folder: Folder | None = None
    """The same."""

    @property
    def folders(self) -> dict[str, str]:
        """Those that are given, by their names in a document."""
        named = {"folder": self.folder, "path": self.path, "successFolder": self.success_folder}
        return {name: folder for name, folder in named.items() if folder is not None}


class ArchiveNode(NodeBase, ArchiveConfig):
    """An old spelling of `atomicity.successFolder` at the source that `input` leads to, which is what it means; the
    node does nothing. The folder stands in the node or in its `config`. What reads from it reads from its `input`."""

    kind: Literal["archive"]
    input: str
    """The node it reads from."""
    config: ArchiveConfig | None = None
    """Where the folder may stand instead."""

    @property
    def place(self) -> tuple[str, str] | None:
        """(path inside the node, folder), or None where it names none."""
        inside = self.config.folders if self.config is not None else {}
        every = [*self.folders.items(), *((f"config.{name}", folder) for name, folder in inside.items())]
        return every[0] if every else None

    @model_validator(mode="after")
    def _one_folder(self) -> ArchiveNode:
        inside = self.config.folders if self.config is not None else {}
        if len({*self.folders.values(), *inside.values()}) > 1:
            raise fault("several_folders", "It names several folders", "keep one: 'folder'")
        return self
