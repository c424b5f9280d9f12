"""Makes methods of a class tools: those that change something only where that is allowed."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

from headrace.deployments.errors import HeadraceError
from headrace.deployments.mcp.answers import answer

_Method = TypeVar("_Method", bound=Callable[..., Any])
_KIND = "__tool__"


def reads(method: _Method) -> _Method:
    """Marks a method that changes nothing. Its docstring is the description of the tool."""
    setattr(method, _KIND, "reads")
    return method


def writes(method: _Method) -> _Method:
    """Marks a method that starts or changes something."""
    setattr(method, _KIND, "writes")
    return method


def add_tools(server: MCPServer, group: object, *, allow_writes: bool) -> None:
    """Adds the marked methods of `group` to the server, in the order of the class."""
    for name in vars(type(group)):
        method = getattr(group, name)
        kind = getattr(method, _KIND, None)
        if kind == "reads" or (kind == "writes" and allow_writes):
            hints = ToolAnnotations(read_only_hint=kind == "reads", open_world_hint=False)
            server.add_tool(_answering(method), name=name, annotations=hints, structured_output=False)


def _answering(method: Callable[..., Any]) -> Callable[..., str]:
    @wraps(method)
    def call(*arguments: Any, **named: Any) -> str:
        try:
            return answer(method(*arguments, **named))
        except HeadraceError as error:
            raise ToolError(f"{error.message}\n{error.hint}".strip()) from None

    call.__annotations__ = {**method.__annotations__, "return": str}
    return call
