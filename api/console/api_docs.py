"""`/docs`: the REST API's documentation, without any other host."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from headrace.api.console.guard import PublicPage, recognise
from headrace.api.console.rendering import render

router = APIRouter(route_class=PublicPage, include_in_schema=False)


@router.get("/docs", name="api_docs")
async def show_docs(request: Request) -> Response:
    """Swagger UI for `/openapi.json`; whoever is logged in has the menu above it."""
    await recognise(request)
    return render(request, "api_docs.html", title="REST API")
