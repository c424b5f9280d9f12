"""Whether the library behind a model is there, asked when a pipeline is saved rather than when its first row comes."""

from __future__ import annotations

from importlib.util import find_spec

from flows.compile.scope import Scope


def needs(scope: Scope, op: str, module: str) -> None:
    """Raises PlanError when `module` is not installed."""
    if find_spec(module) is None:
        message = f"'{op}' needs the library {module}, which is not installed"
        raise scope.fault("type", "missing_extra", message, "pip install 'headrace[models]'")
