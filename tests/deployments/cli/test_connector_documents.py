"""`headrace connectors new|validate|build|try`, and the example of the documentation from nothing to rows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from headrace.connectors.connector import Connection, Context, Surroundings
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.http.source import RestSource
from headrace.deployments.cli.app import app
from headrace.deployments.cli.documents.yaml_format import read_yaml
from tests.connectors.http.api_server import ApiServer, Asked
from tests.connectors.reading import run
from tests.connectors.stores.places import LOOPBACK

PAGE = Path(__file__).parents[3] / "docs" / "yaml-connectors.md"


@pytest.fixture
def github() -> Iterator[ApiServer]:
    """As its public documentation says: pages by the header Link, `since`, a bearer token."""
    server = ApiServer()
    server.key = ("Authorization", "Bearer gh-secret")
    issues = {
        name: [{"id": n, "title": f"{name} {n}", "updated_at": f"2024-01-01T00:{n:02}:00Z"} for n in range(first, last)]
        for name, first, last in (("one", 0, 30), ("two", 30, 55))
    }

    def page(asked: Asked, found: list[dict[str, Any]]) -> tuple[int, dict[str, str], bytes]:
        at = int(asked.query.get("page", 1))
        link = f'<{server.url}{asked.path}?page={at + 1}&since={asked.query.get("since", "")}>; rel="next"'
        return 200, {"Link": link} if len(found) > 10 * at else {}, json.dumps(found[10 * at - 10 : 10 * at]).encode()

    def of(name: str) -> Any:
        return lambda asked: page(
            asked, [each for each in issues[name] if str(each["updated_at"]) >= asked.query.get("since", "")]
        )

    server.pages = {f"/repos/us/{name}/issues": of(name) for name in issues}
    repositories = [{"id": n, "name": name} for n, name in enumerate(issues)]
    server.pages["/orgs/us/repos"] = lambda asked: page(asked, repositories)
    yield server
    server.close()


def headrace(*arguments: str | Path, code: int = 0, **environment: str) -> str:
    result = CliRunner().invoke(app, [*map(str, arguments)], env={"NO_COLOR": "1", **environment})
    assert result.exit_code == code, result.output + repr(result.exception)
    return result.stdout if code == 0 else result.stdout + str(getattr(result.exception, "message", result.exception))


def example(folder: Path) -> Path:
    file = folder / "github.yaml"
    found = re.search(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    file.write_text(found[1])
    return file


def test_the_example_of_the_page_goes_from_nothing_to_rows(github: ApiServer, tmp_path: Path) -> None:
    file = example(tmp_path)
    assert "valid, 2 endpoint(s)" in headrace("connectors", "validate", file)
    values = ("--set", "owner=us", "--set", f"base_url={github.url}")
    here = (*values, "--network", "127.0.0.0/8", "--insecure-login")
    assert "2 records; it is the last page" in headrace("connectors", "try", file, *here, TOKEN="gh-secret")
    shown = json.loads(headrace("connectors", "try", file, *here, "--endpoint", "issues", "--json", TOKEN="gh-secret"))
    assert "one 0" in shown["sample"]["records"][0]
    refused = headrace("connectors", "try", file, *here, code=1, TOKEN="gh-wrong")
    assert "answered 401" in refused
    assert "gh-wrong" not in refused

    [(record, _)] = read_yaml(headrace("connectors", "build", file, *values))
    assert record["authConfig"] == {"token": "${TOKEN}"}
    connection = Connection("c", record["type"], record["config"] | {"insecureLogin": True}, {"token": "gh-secret"})
    surroundings = Surroundings(FilesRoot(tmp_path), LOOPBACK)
    read, position = run(RestSource(Context(connection, surroundings, {"endpoint": "issues"})), None)
    assert sorted(read) == list(range(55))
    assert run(RestSource(Context(connection, surroundings, {"endpoint": "issues"})), position)[0] == []


def test_a_new_document_is_valid_and_nothing_is_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "My shop.yaml"
    headrace("connectors", "new", file)
    assert "valid, 1 endpoint(s)" in headrace("connectors", "validate", file)
    assert "there already" in headrace("connectors", "new", file, code=1)


def test_problems_have_their_lines(tmp_path: Path) -> None:
    file = example(tmp_path)
    file.write_text(file.read_text().replace("type: bearer", "type: bear").replace("keys: [name]", "kees: [name]"))
    reported = headrace("connectors", "validate", file, code=1)
    lines = file.read_text().splitlines()
    for word in ("bear,", "kees"):
        line = next(number for number, text in enumerate(lines, 1) if word in text)
        assert f"github.yaml:{line}: " in reported.replace("\n", "")
    assert json.loads(headrace("connectors", "validate", file, "--json", code=1).partition("]\n")[0] + "]")


def test_what_is_missing_is_reported(tmp_path: Path) -> None:
    file = example(tmp_path)
    assert "'owner' has no value" in headrace("connectors", "build", file, code=1)
    assert "the variables are: base_url, owner" in headrace("connectors", "build", file, "--set", "onwer=x", code=1)
    assert "secret 'token' is not there" in headrace("connectors", "try", file, "--set", "owner=x", code=1)
    assert "cannot be read" in headrace("connectors", "validate", tmp_path / "nothing.yaml", code=1)


BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 10)}]\n" for n in range(9)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "more than 200,000 values"),
        ("a: !!python/object/apply:os.system ['true']", "tag"),
        ("a: [", ":1: "),
        ("- a", "not an object"),
        ("a: 1\n---\na: 2", "2 documents"),
        ("a: 1\na: 2", "given twice"),
    ],
)
def test_what_is_no_document_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    assert said in headrace("connectors", "validate", tmp_path / "x.yaml", code=1)
