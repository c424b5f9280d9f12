"""What a connector's streams show of their rows: nothing outside its folder, nothing to other tenants, and no more than
was asked for; the same for dry runs of failed rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from headrace.api.app import BASE_PATH
from tests.api.conftest import Facade, created, error_of

pytestmark = pytest.mark.postgres

OUTSIDE = (
    "../secret.csv",
    "/etc/passwd",
    "2024/../../secret.csv",
    "..",
    "\\\\host\\secret.csv",
    "s3://bucket/secret.csv",
)


@pytest.fixture
def files(facade: Facade, tmp_path: Path) -> Iterator[str]:
    """The path of a connector of a folder with one file."""
    services = facade.app.state.services
    facade.app.state.services = replace(
        services, settings=services.settings.model_copy(update={"files_root": tmp_path})
    )
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "orders.csv").write_text("id,amount\n1,2.50\n2,3.75\n")
    body = {"name": "files", "type": "local_fs", "config": {"basePath": "in"}}
    yield f"{BASE_PATH}/connectors/{created(facade.editor, f'{BASE_PATH}/connectors', body)['id']}"
    facade.app.state.services = services


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("place", ["stream", "stream/rows"])
def test_names_that_leave_the_folder_show_nothing(
    facade: Facade,
    files: str,
    tmp_path: Path,
    place: str,
    name: str,
) -> None:
    (tmp_path / "secret.csv").write_text("id\n4711\n")
    answer = facade.editor.get(f"{files}/{place}", params={"name": name})
    assert answer.status_code in (404, 422)
    assert "4711" not in answer.text
    assert str(tmp_path) not in answer.text


def test_rows_are_those_of_the_folder_and_no_more_than_asked_for(facade: Facade, files: str) -> None:
    found = facade.editor.get(f"{files}/stream/rows", params={"name": "orders.csv", "limit": 1}).json()
    assert [row["id"] for row in found["rows"]] == [1]
    for limit in ("0", "101", "-1", "1e9"):
        refused = facade.editor.get(f"{files}/stream/rows", params={"name": "orders.csv", "limit": limit})
        assert refused.status_code in (400, 422)


def test_other_tenants_and_viewers_see_no_rows(facade: Facade, files: str) -> None:
    asked = {"name": "orders.csv"}
    error_of(facade.foreign.get(f"{files}/stream/rows", params=asked), 404)
    error_of(facade.viewer.get(f"{files}/stream/rows", params=asked), 403)
    error_of(facade.anonymous.get(f"{files}/stream/rows", params=asked), 401)


def test_other_tenants_and_viewers_try_no_failed_rows(facade: Facade) -> None:
    pipeline = f"{BASE_PATH}/pipelines/{facade.pipeline()['id']}"
    run = f"{pipeline}/runs/{created(facade.editor, f'{pipeline}/run', {})['id']}/retry/dry-run"
    assert facade.editor.post(run).status_code == 422  # it has not completed
    error_of(facade.foreign.post(run), 404)
    error_of(facade.viewer.post(run), 403)
    error_of(facade.anonymous.post(run), 401)
