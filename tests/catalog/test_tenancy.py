"""An object of another tenant does not exist; lists are keyset pages, newest first."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from headrace import catalog
from headrace.catalog.errors import Conflict
from headrace.catalog.repositories import TenantCatalog
from tests.catalog.conftest import add_connector, add_pipeline

pytestmark = pytest.mark.postgres


def test_what_one_tenant_stores_another_does_not_see(mine: TenantCatalog, theirs: TenantCatalog) -> None:
    pipeline = add_pipeline(mine)
    assert mine.pipelines.get(pipeline.id) is pipeline
    assert theirs.pipelines.get(pipeline.id) is None
    assert theirs.connectors.get(pipeline.connector_id) is None
    assert theirs.schemas.get(pipeline.schema_id) is None
    assert theirs.pipelines.page(limit=10).items == []
    assert theirs.pipelines.page(limit=10).total == 0


def test_names_are_unique_within_a_tenant_only(mine: TenantCatalog, theirs: TenantCatalog, session: Session) -> None:
    add_connector(mine, "files")
    add_connector(theirs, "files")
    session.commit()
    with pytest.raises(Conflict, match="connector"):
        add_connector(mine, "files")


@pytest.mark.parametrize("strange", ["", "pipe_\x00", "x" * 200, "a b", "'; --", "pipe_ü"])
def test_a_strange_id_is_simply_not_there(mine: TenantCatalog, strange: str) -> None:
    assert mine.pipelines.get(strange) is None


def test_pages_follow_each_other_without_gap_or_repetition(mine: TenantCatalog, session: Session) -> None:
    # added in one transaction they share their creation time: the id decides
    names = [f"files {number}" for number in range(7)]
    stored = [add_connector(mine, name).id for name in names]
    session.commit()
    session.expire_all()
    seen: list[str] = []
    page = mine.connectors.page(limit=3)
    while True:
        assert page.total == 7
        seen += [connector.id for connector in page.items]
        if page.next is None:
            break
        page = mine.connectors.page(limit=3, after=page.next)
    assert sorted(seen) == sorted(stored)
    assert seen == sorted(stored, reverse=True)


def test_an_object_added_meanwhile_does_not_shift_the_pages(mine: TenantCatalog, session: Session) -> None:
    for number in range(4):
        add_connector(mine, f"files {number}")
        session.commit()
    first = mine.connectors.page(limit=2)
    add_connector(mine, "late")
    session.commit()
    second = mine.connectors.page(limit=2, after=first.next)
    assert [connector.name for connector in second.items] == ["files 1", "files 0"]


def test_a_search_takes_wildcards_literally(mine: TenantCatalog) -> None:
    add_pipeline(mine, "100% sure")
    add_pipeline(mine, "1000 sure")
    found = mine.pipelines.page(limit=10, where=mine.pipelines.matching(q="0% S"))
    assert [pipeline.name for pipeline in found.items] == ["100% sure"]


def test_the_tenant_filter_is_written_in_one_place() -> None:
    root = Path(catalog.__file__).parents[1]
    sources = [path for room in ("catalog", "api") for path in (root / room).rglob("*.py")]
    filtering = [path.name for path in sources if ".tenant_id ==" in path.read_text()]
    assert filtering == ["base.py"]


def test_ir_versions_count_up_and_the_newest_is_live(mine: TenantCatalog) -> None:
    pipeline = add_pipeline(mine)
    mine.pipelines.save_ir(pipeline, {"second": True}, authored_by="bob", comment="better")
    versions = [(row.version, row.authored_by, row.comment) for row in mine.pipelines.ir_versions(pipeline)]
    assert versions == [(2, "bob", "better"), (1, "alice", None)]
    live = mine.pipelines.ir_version(pipeline)
    assert live is not None
    assert live.ir == {"second": True}
    assert mine.pipelines.ir_version(pipeline, 3) is None
