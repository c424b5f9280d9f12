"""Imports of libraries that only some formats need."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from headrace.connectors.errors import SourceError


def import_optional(module: str, form: str) -> Any:
    """The module. Raises SourceError(`not_installed`), which says what to install."""
    try:
        return import_module(module)
    except ModuleNotFoundError:
        raise SourceError(
            "not_installed",
            f"Files of the format {form} need the module {module}, which is not installed here.",
            "pip install 'headrace[files]' where the worker and the API run.",
        ) from None


@contextmanager
def rust_panics(code: str) -> Iterator[None]:
    """Turns a panic of a Rust library, which is not an `Exception`, into a SourceError about the file."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        reason = (str(error).splitlines() or ["no reason"])[0]
        raise SourceError(
            code, f"It is damaged. The library that reads it failed: {reason}.", "Send it again."
        ) from None
