"""The application as its OpenAPI document is read while tests are collected: made once for all modules."""

from __future__ import annotations

from functools import cache
from typing import Any

from fastapi import FastAPI

from headrace.api.app import create_app
from tests.api.conftest import LocalOrchestrator, settings_for


@cache
def application() -> FastAPI:
    """The API without a database."""
    return create_app(settings_for("postgresql:///nowhere"), orchestrator=LocalOrchestrator())


def document() -> dict[str, Any]:
    """Its OpenAPI document, which nobody may change."""
    return application().openapi()
