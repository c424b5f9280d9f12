"""What pages load comes from the package itself, is what `vendor.json` says, and may be cached."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import pytest

import headrace.api.console
from headrace.api.console.assets import names, url_of
from tests.api.conftest import Facade

CONSOLE = Path(headrace.api.console.__file__).parent
VENDORED = json.loads((CONSOLE / "vendor.json").read_text())
LICENCES = {"MIT", "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC"}


def test_every_vendored_file_is_listed_with_its_hash_and_a_licence_that_allows_it() -> None:
    listed = {each["file"]: each for each in VENDORED}
    assert len(listed) == len(VENDORED)
    assert set(listed) | {"LICENSES.txt"} == {path.name for path in (CONSOLE / "vendor").iterdir()}
    licences = (CONSOLE / "vendor" / "LICENSES.txt").read_text()
    for name, each in listed.items():
        assert set(each) == {"file", "name", "version", "path", "licence", "sha256"}
        assert hashlib.sha256((CONSOLE / "vendor" / name).read_bytes()).hexdigest() == each["sha256"], name
        assert each["licence"] in LICENCES
        assert f"{each['name']} {each['version']} ({each['licence']})" in licences


@pytest.mark.postgres
def test_files_are_served_to_everybody_with_their_type_and_may_be_cached_by_version(facade: Facade) -> None:
    assert {"console.css", "console.js", "htmx.min.js", "swagger-ui.css", "icon.svg"} <= set(names())
    for name in names():
        response = facade.anonymous.get(url_of(name))
        assert response.status_code == 200
        assert "immutable" in response.headers["Cache-Control"]
        assert response.headers["Content-Type"].startswith(("text/css", "text/javascript", "image/svg+xml"))
        unversioned = facade.anonymous.get(f"/static/{name}", headers={"If-None-Match": response.headers["ETag"]})
        assert (unversioned.status_code, unversioned.headers["Cache-Control"]) == (304, "no-cache")


@pytest.mark.postgres
def test_files_are_sent_in_gzip_to_those_who_take_it(facade: Facade) -> None:
    path = CONSOLE / "static" / "console.css"
    for accepted in ("gzip", "identity"):
        with facade.anonymous.stream("GET", "/static/console.css", headers={"Accept-Encoding": accepted}) as response:
            raw = b"".join(response.iter_raw())
        assert (gzip.decompress(raw) if accepted == "gzip" else raw) == path.read_bytes()


@pytest.mark.postgres
@pytest.mark.parametrize("name", ["../console.py", "..%2fguard.py", "base.html", "LICENSES.txt", "vendor.json", "%00"])
def test_there_are_no_other_files(facade: Facade, name: str) -> None:
    assert facade.anonymous.get(f"/static/{name}").status_code == 404


def test_no_page_has_inline_code_or_names_another_host() -> None:
    for path in (CONSOLE / "templates").iterdir():
        text = path.read_text()
        assert "|safe" not in text.replace(" ", ""), path.name
        assert " style=" not in text, path.name
        assert "<style" not in text, path.name
        assert "<script>" not in text, path.name
        assert " on" + "click" not in text, path.name
        assert "://" not in text, path.name
    for path in (CONSOLE / "static").iterdir():
        assert "://" not in path.read_text().replace("http://www.w3.org/2000/svg", ""), path.name
