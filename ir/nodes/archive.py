"""The archive node of old documents: the folder that a source's files are moved to once they are loaded."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import StringConstraints, model_validator

from headrace.ir.base import Doc
from headrace.ir.nodes.base import NodeBase
from headrace.ir.problems import fault

Folder = Annotated[str, StringConstraints(min_length=1, max_length=500)]


class ArchiveConfig(Doc):
    """The folder; it may also be named `path` or `successFolder`."""

    folder: Folder | None = None
    """The folder for the source's files."""
    path: Folder | None = None
    """The same as `folder`."""
    success_folder: Folder | None = None
    """The same as `folder`."""

    @property
    def folders(self) -> dict[str, str]:
        """The folders that are set, by their names in a document."""
        named = {"folder": self.folder, "path": self.path, "successFolder": self.success_folder}
        return {name: folder for name, folder in named.items() if folder is not None}


class ArchiveNode(NodeBase, ArchiveConfig):
    """An old spelling of `atomicity.successFolder` of the source that `input` leads to; it has no other effect. The
    folder is given in the node or in its `config`. Nodes that read from it read from its `input`."""

    kind: Literal["archive"]
    input: str
    """The node it reads from."""
    config: ArchiveConfig | None = None
    """Another place for the folder."""

    @property
    def place(self) -> tuple[str, str] | None:
        """(path inside the node, folder), or None without a folder."""
        inside = self.config.folders if self.config is not None else {}
        every = [*self.folders.items(), *((f"config.{name}", folder) for name, folder in inside.items())]
        return every[0] if every else None

    @model_validator(mode="after")
    def _one_folder(self) -> ArchiveNode:
        inside = self.config.folders if self.config is not None else {}
        if len({*self.folders.values(), *inside.values()}) > 1:
            raise fault("several_folders", "It names several folders", "keep one: 'folder'")
        return self
