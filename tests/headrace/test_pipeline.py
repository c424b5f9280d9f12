"""A pipeline in this process: checked, planned, previewed and run, and gone on with where it failed."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import psycopg
import pytest

from headrace import HeadraceError, Pipeline, PipelineFailed, PipelineInvalid
from headrace.deployments.cli.offline import _FILES
from tests.headrace.orders import ORDERS, TABLE

pytestmark = pytest.mark.postgres


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "orders.csv").write_text("id,name,amount\n1,Ann,10.50\n2,,2\n3,Cid,30\n")
    return tmp_path


@pytest.fixture
def url(superuser_url: str) -> str:
    with psycopg.connect(superuser_url) as connection:
        connection.execute(TABLE)
    return superuser_url


def loaded(url: str) -> list[int]:
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute("SELECT id FROM public.ds_orders ORDER BY id, name")]


def relaxed(document: str = ORDERS) -> Pipeline:
    return Pipeline.from_yaml(document.replace("errorHandling: {maxErrorRows: 1}\n", ""))


def test_a_document_is_checked_with_every_problem_at_once_and_their_lines() -> None:
    assert Pipeline.from_yaml(ORDERS).validate()
    found = Pipeline.from_yaml(ORDERS.replace("kind: validate", "kind: validat").replace("not_empty", "nt_empty"))
    assert not found.validate()
    assert found.validate().problems[0].path.startswith("text.yaml:")
    with pytest.raises(PipelineInvalid, match="validat"):
        found.plan(files_root=".")


def test_types_are_checked_too() -> None:
    declared = ORDERS.replace(
        "config: {path: orders.csv}", "config: {path: orders.csv}, fields: [{name: id, dataType: integer}]"
    )
    validation = Pipeline.from_yaml(declared).validate()
    assert validation.complete
    assert [each.code for each in validation.problems] == ["unknown_column"]


def test_what_is_no_pipeline_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(HeadraceError, match="There is no pipeline"):
        Pipeline.from_yaml("kind: connector\nname: x\ntype: local_fs\n")
    with pytest.raises(HeadraceError, match="cannot be read"):
        Pipeline.from_yaml(tmp_path / "none.yaml")
    with pytest.raises(HeadraceError, match=r"2 pipelines: Orders, Others"):
        Pipeline.from_yaml(f"{ORDERS}---{ORDERS.replace('name: Orders', 'name: Others')}")


def test_plan_and_preview_need_no_database(files: Path) -> None:
    pipeline = relaxed()
    plan = pipeline.plan(files_root=files)
    assert plan.estimated_rows == 3
    assert plan.targets[0].sql is None
    assert "src: read local_fs" in str(plan)
    preview = pipeline.preview("check", 2, files_root=files)
    assert preview.rows.to_dicts() == [{"_row": 1, "id": "1", "name": "Ann", "amount": "10.50"}]
    assert preview.errors.select("row", "column").rows() == [(2, "name")]
    with pytest.raises(PipelineInvalid, match="did you mean 'check'"):
        pipeline.preview("chek", files_root=files)


def test_a_run_loads_and_keeps_what_is_wrong(files: Path, url: str) -> None:
    pipeline = relaxed()
    assert "COPY" in (pipeline.plan(files_root=files, database_url=url).targets[0].sql or "")
    result = pipeline.run(files_root=files, database_url=url)
    assert (result.status, result.rows_in, result.rows_out, result.failed) == ("completed_with_errors", 3, 2, 1)
    assert result.errors().select("node", "row", "column").rows() == [("check", 2, "name")]
    assert loaded(url) == [1, 3]
    assert url not in repr(result)


BREAKS = """
CREATE FUNCTION break_off() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END';
CREATE TRIGGER breaks BEFORE INSERT ON public.ds_orders FOR EACH ROW WHEN (NEW.id = 5) EXECUTE FUNCTION break_off()
"""


def test_the_next_run_continues_after_what_a_failed_one_committed(files: Path, url: str) -> None:
    (files / "orders.csv").write_text("id,name,amount\n1,Ann,1\n2,Bob,1\n3,Cid,1\n4,,1\n5,Eve,1\n")
    once = ORDERS.replace("{maxErrorRows: 1}", "{retry: {maxAttempts: 1}}")
    with psycopg.connect(url) as connection:
        connection.execute(BREAKS)
    with pytest.raises(PipelineFailed) as failed:
        Pipeline.from_yaml(once).run(files_root=files, database_url=url)
    first = failed.value.result
    assert loaded(url) == [1, 2, 3]
    assert (first.status, first.rows_in, first.rows_out, first.failed) == ("failed", 4, 3, 1)
    with psycopg.connect(url) as connection:
        connection.execute("DROP TRIGGER breaks ON public.ds_orders")
    changed = Pipeline.from_yaml(once.replace("rule: not_empty", "rule: 'min_length:0'"))
    second = changed.run(files_root=files, database_url=url)
    assert second.resumed == first.id
    assert any("with the document of that run" in line for line in second.log)
    assert (second.rows_in, second.rows_out, second.failed) == (5, 4, 1)
    assert second.errors().select("row", "column").rows() == [(4, "name")]
    assert loaded(url) == [1, 2, 3, 5]


def test_a_run_that_shall_not_resume_starts_over(files: Path, url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(BREAKS)
    (files / "orders.csv").write_text("id,name,amount\n1,Ann,1\n2,Bob,1\n5,Eve,1\n")
    pipeline = Pipeline.from_yaml(ORDERS.replace("{maxErrorRows: 1}", "{retry: {maxAttempts: 1}}"))
    with pytest.raises(PipelineFailed):
        pipeline.run(files_root=files, database_url=url)
    with psycopg.connect(url) as connection:
        connection.execute("DROP TRIGGER breaks ON public.ds_orders")
    assert pipeline.run(files_root=files, database_url=url, resume=False).resumed is None
    assert loaded(url) == [1, 1, 2, 2, 5]


def test_a_run_whose_process_died_is_gone_on_with(files: Path, url: str) -> None:
    pipeline = relaxed()
    lines = 0

    class Died(BaseException):
        pass

    def die(line: str) -> None:
        nonlocal lines
        lines += 1
        if line.startswith("load: "):  # after all is committed, before the run says so
            raise Died

    with pytest.raises(Died):
        pipeline.run(files_root=files, database_url=url, on_log=die)
    assert loaded(url) == [1, 3]
    result = pipeline.run(files_root=files, database_url=url)
    assert result.resumed is not None
    assert (result.rows_in, result.rows_out, result.failed) == (3, 2, 1)
    assert loaded(url) == [1, 3], "nothing is doubled"


def test_the_failed_rows_alone_are_run_again(files: Path, url: str) -> None:
    result = relaxed().run(files_root=files, database_url=url)
    corrected = relaxed(ORDERS.replace("rule: not_empty", "rule: 'min_length:0'"))
    again = corrected._retry(result, None)
    assert (again.rows_in, again.rows_out, again.failed) == (1, 1, 0)
    assert loaded(url) == [1, 2, 3]
    with pytest.raises(PipelineInvalid, match="nothing to retry"):
        again.retry()


def test_two_runs_at_once_do_not_mix(files: Path, url: str) -> None:
    from headrace.flows.in_process.history import History

    other = History(url, "orders")
    assert other.alone()
    with pytest.raises(PipelineInvalid, match="under way"):
        relaxed().run(files_root=files, database_url=url)
    other.close()
    assert relaxed().run(files_root=files, database_url=url).rows_out == 2


def test_the_files_of_init_make_their_table_and_run(tmp_path: Path, superuser_url: str) -> None:
    for name, text in _FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    pipeline = Pipeline.from_yaml(tmp_path, name="Orders")
    assert pipeline.create_tables(superuser_url) == ["public.ds_orders"]
    assert pipeline.create_tables(superuser_url) == []
    result = pipeline.run(files_root=tmp_path / "data", database_url=superuser_url)
    assert (result.rows_out, result.failed) == (1, 2)


def test_json_is_taken_as_the_api_has_it(files: Path) -> None:
    document = relaxed().document
    pipeline = Pipeline.from_json(document)
    assert isinstance(pipeline.preview("src", 1, files_root=files).rows, pl.DataFrame)


WEB = """\
kind: connector
name: shop
type: rest_api
config: {url: "http://127.0.0.1:9", document: shop}
---
kind: pipeline
version: "1.0"
id: orders
metadata: {name: Orders}
connector: shop
nodes:
- {id: src, kind: source, connector: "yaml:shop", config: {endpoint: orders}}
- {id: tgt, kind: target, input: src, schema: public.ds_orders}
"""
DESCRIBED = """\
---
kind: connector
version: "1.0"
id: shop
displayName: Shop
url: http://127.0.0.1:9
endpoints: [{id: orders, path: /orders}]
"""


@pytest.mark.parametrize(("document", "code"), [(WEB, "unknown_document"), (WEB + DESCRIBED, "address_refused")])
def test_a_connector_document_beside_the_pipeline_is_read(url: str, tmp_path: Path, document: str, code: str) -> None:
    with pytest.raises(PipelineInvalid) as error:
        Pipeline.from_yaml(document).plan(files_root=tmp_path, database_url=url)
    assert [each.code for each in error.value.problems] == [code]
