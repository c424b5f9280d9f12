"""Files of the console that are the same for everybody: style sheets, scripts, and what is vendored (`vendor.json`)."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request, Response

from headrace.api.errors import not_found

_FOLDER = Path(__file__).parent
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_FOREVER = "public, max-age=31536000, immutable"

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Asset:
    """A file: its bytes, the same bytes in gzip, its media type, and the start of its hash."""

    body: bytes
    zipped: bytes
    media_type: str
    version: str


def names() -> list[str]:
    """The names of all files that are served."""
    return sorted(_paths())


def url_of(name: str) -> str:
    """The URL of a file, with its version: it may be cached as long as a browser likes. Raises KeyError."""
    return f"/static/{name}?v={_asset(name).version}"


@router.get("/static/{name}", name="console_file")
def get_file(request: Request, name: str) -> Response:
    """A file by its name; there are no others than those of the two folders."""
    if name not in _paths():
        raise not_found("file")
    asset = _asset(name)
    headers = {"Cache-Control": _FOREVER, "ETag": f'"{asset.version}"', "Vary": "Accept-Encoding"}
    if request.query_params.get("v") != asset.version:
        headers["Cache-Control"] = "no-cache"
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    zips = "gzip" in request.headers.get("accept-encoding", "")
    if zips:
        headers["Content-Encoding"] = "gzip"
    return Response(asset.zipped if zips else asset.body, media_type=asset.media_type, headers=headers)


@cache
def _paths() -> dict[str, Path]:
    found = [path for folder in ("static", "vendor") for path in (_FOLDER / folder).iterdir()]
    return {path.name: path for path in found if path.suffix in _TYPES}


@cache
def _asset(name: str) -> Asset:
    path = _paths()[name]
    body = path.read_bytes()
    version = hashlib.sha256(body).hexdigest()[:12]
    return Asset(body, gzip.compress(body, 6, mtime=0), _TYPES[path.suffix], version)
