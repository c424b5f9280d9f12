"""Pipelines in this process, for notebooks and scripts: validate, plan, preview and run, without Prefect or the API.

    from headrace import Pipeline

    pipeline = Pipeline.from_yaml("pipelines/orders.yaml")
    print(pipeline.validate())
    print(pipeline.plan(files_root="data"))
    print(pipeline.preview("check", 20, files_root="data").rows)
    result = pipeline.run(files_root="data", database_url="postgresql:///shop")
    print(result.rows_out, result.failed, result.errors())

`validate` needs no server and no database; everything else needs the extra 'engine'. A run writes what a Prefect run
writes: rows and the ledger, each batch in one transaction. After a run that failed or whose process died, the next
`run` with the same parameters continues after the rows that were committed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace._pipeline.errors import PipelineFailed, PipelineInvalid, explained
from headrace._pipeline.results import ERROR_COLUMNS, PipelineResult, Plan, PlannedTarget, Preview, Validation
from headrace.deployments.cli.documents.load import UNNAMED, Document, Fault, read_documents, texts_of
from headrace.deployments.errors import HeadraceError
from headrace.deployments.extras import missing, require
from headrace.ir import parse_ir
from headrace.ir.parameters import ParameterValue
from headrace.ir.problems import Problem

if TYPE_CHECKING:
    from headrace.catalog.runs.records import ConnectorRecord, RunPipeline
    from headrace.flows.in_process.run import Outcome
    from headrace.flows.runtime.job import Job

__all__ = [
    "Pipeline",
    "PipelineFailed",
    "PipelineInvalid",
    "PipelineResult",
    "Plan",
    "PlannedTarget",
    "Preview",
    "Problem",
    "Validation",
]

LOCAL_FILES = "local_fs"


class Pipeline:
    """A pipeline document with its connector. Created by `from_yaml` and `from_json`."""

    def __init__(self, documents: Iterable[Document], problems: Iterable[Problem], name: str) -> None:
        self._documents = tuple(documents)
        self._problems = tuple(problems)
        self._document = next((each for each in self._documents if each.kind == "pipeline"), None)
        self.name = name

    @classmethod
    def from_yaml(cls, source: str | Path, *, name: str | None = None) -> Pipeline:
        """Reads a text of more than one line, or the path of a file or folder in the format of `headrace apply`.

        The source has one pipeline, or several of which `name` selects one, and may also have its connector and
        schemas. `${NAME}` in the connector is replaced from the environment when the pipeline runs. Raises
        HeadraceError when the source cannot be read or has no pipeline; faults of the pipeline are returned by
        `validate`.
        """
        return cls._read(source, ".yaml", name)

    @classmethod
    def from_json(cls, source: str | Path | Mapping[str, Any], *, name: str | None = None) -> Pipeline:
        """Like `from_yaml`, for JSON. `source` may also be the document as a dict, in the format of the REST API."""
        if isinstance(source, Mapping):
            import json

            source = json.dumps(source) + "\n"
        return cls._read(source, ".json", name)

    @classmethod
    def _read(cls, source: str | Path, suffix: str, name: str | None) -> Pipeline:
        is_text = isinstance(source, str) and ("\n" in source or source.lstrip().startswith(("{", "[")))
        texts = [(f"text{suffix}", str(source))] if is_text else list(texts_of([Path(source)]))
        documents, faults = read_documents(texts, None, alone=True)
        named = [each for each in documents if each.kind == "pipeline" and name in (None, each.name)]
        if len(named) > 1:
            names = ", ".join(sorted(each.name for each in named))
            raise HeadraceError(f"There are {len(named)} pipelines: {names}.", "Say which with name=.")
        if not named and not faults:
            raise HeadraceError(f"There is no pipeline{f' {name!r}' if name else ''} in it.")
        kept = [each for each in documents if each.kind != "pipeline" or each in named]
        return cls(kept, _problems(faults), named[0].name if named else name or "")

    def __repr__(self) -> str:
        return f"<Pipeline {self.name!r}>"

    @property
    def id(self) -> str:
        """The document's `id`, by which a database identifies its runs. Raises PipelineInvalid."""
        return str(self._ready()["id"])

    @property
    def document(self) -> dict[str, Any]:
        """The document as a dict. Raises PipelineInvalid."""
        return dict(self._ready())

    def validate(self) -> Validation:
        """Checks the document without a server, a database or the data, and returns every problem."""
        complete = not missing("engine")
        if self._problems or self._document is None or not complete:
            return Validation(self._problems, complete)
        from headrace.flows.validation.check import check_types

        parsed = parse_ir(self._document.ir)
        assert parsed.ir is not None, "a document with such problems has been refused"
        return Validation(tuple(check_types(parsed.ir)), complete)

    def plan(
        self,
        *,
        files_root: str | Path,
        database_url: str | None = None,
        parameters: Mapping[str, ParameterValue] | None = None,
    ) -> Plan:
        """What a run would do with the current files. With a database, also the changes it would make to tables and the
        SQL of its loads; without one, tables are assumed to match the document. Reads only. Raises PipelineInvalid.
        """
        job = self._job(files_root, database_url, parameters, "plan")
        from headrace.flows.dry_run.plan import plan_run

        with explained(job):
            found = plan_run(job)
        targets = tuple(
            PlannedTarget(each.node, each.table, each.load_mode, each.columns, each.sql if database_url else None)
            for each in found.targets
        )
        changes = tuple(each.statement for each in found.changes if each.statement is not None)
        text = [f"{self.name}: {found.estimated_rows:,} rows, up to {found.parallelism} partitions at a time"]
        text += [each.sql for each in found.targets] + list(changes) + [f"note: {note}" for note in found.notes]
        return Plan(
            tuple(found.stages),
            targets,
            changes,
            tuple(found.notes),
            found.estimated_rows,
            found.parallelism,
            "\n".join(text),
        )

    def preview(
        self,
        node: str,
        n: int = 10,
        *,
        files_root: str | Path,
        database_url: str | None = None,
        parameters: Mapping[str, ParameterValue] | None = None,
    ) -> Preview:
        """The output of `node` for the first `n` records of every source. Nothing is written.

        Raises ValueError when `n` is less than 1, and PipelineInvalid, also when there is no such node.
        """
        if n < 1:
            raise ValueError("n is at least 1")
        nodes = [str(each["id"]) for each in self._ready()["nodes"]]
        if node not in nodes:
            from headrace.ir.problems import nearest

            raise PipelineInvalid(
                [Problem("nodes", "unknown_node", f"There is no node '{node}'", nearest(node, nodes))]
            )
        job = self._job(files_root, database_url, parameters, "preview")
        from headrace.flows.dry_run.preview import preview

        with explained(job):
            found = next((each for each in preview(job, rows=n, frames=True) if each.node == node), None)
        if found is None:
            message = f"What comes to '{node}' depends on tables of the database"
            raise PipelineInvalid([Problem("nodes", "not_known", message, "give database_url=")])
        import polars as pl

        errors = [(each.row, each.column, each.value, each.error, each.rule, each.warning) for each in found.errors]
        assert found.frame is not None, "frames were asked for"
        return Preview(
            node=found.node,
            kind=found.kind,
            rows=found.frame,
            errors=pl.DataFrame(
                errors, schema={name: ERROR_COLUMNS[name] for name in list(ERROR_COLUMNS)[1:]}, orient="row"
            ),
            rows_in=found.rows_in,
            rows_out=found.rows_out,
            failed=found.failed,
            skipped=found.skipped,
            notes=found.notes,
            stops_run=found.stops_run,
        )

    def create_tables(self, database_url: str) -> list[str]:
        """Creates the missing tables of the schemas in the pipeline's source, and returns their names.

        Existing tables are not changed; `headrace apply` does that, in a stack. Raises PipelineInvalid.
        """
        job = self._job("", None, None, "create_tables")
        from headrace.deployments.cli.apply.tenant import definition
        from headrace.flows.in_process.tables import make_missing

        wanted = {
            each.name: [definition(shape) for shape in each.schema.fields]
            for each in self._documents
            if each.kind == "schema"
        }
        with explained(job):
            return make_missing(database_url, wanted)

    def run(
        self,
        *,
        files_root: str | Path,
        database_url: str,
        parameters: Mapping[str, ParameterValue] | None = None,
        resume: bool = True,
        on_log: Callable[[str], None] | None = None,
    ) -> PipelineResult:
        """Loads the rows into the tables of the database and returns when all are committed. Rejected rows are counted
        and stored. `parameters` replace `{{name}}` in the configs of the sources.

        When the last run with these parameters failed or its process died, the run continues after the rows that were
        committed. With `resume=False` it starts from the beginning and keeps the rows that are in the tables. `on_log`
        is called with each line of the log. Raises PipelineFailed and PipelineInvalid.
        """
        job = self._job(files_root, database_url, parameters, "run")
        from headrace.flows.in_process.run import begin

        with explained(job):
            outcome = begin(
                job.pipeline,
                database_url=database_url,
                files_root=job.files_root,
                parameters=job.parameters,
                resume=resume,
                on_log=on_log,
            )
        return self._result(outcome, job)

    def _retry(self, result: PipelineResult, on_log: Callable[[str], None] | None) -> PipelineResult:
        from headrace.flows.in_process.run import retry

        job = self._job(result._files_root, result._database_url, None, "retry")
        with explained(job):
            outcome = retry(
                job.pipeline,
                result.id,
                database_url=job.database_url,
                files_root=job.files_root,
                on_log=on_log,
            )
        return self._result(outcome, job)

    def _result(self, outcome: Outcome, job: Job) -> PipelineResult:
        totals = outcome.totals
        result = PipelineResult(
            id=outcome.run_id,
            status=outcome.status,
            rows_in=totals.rows_in,
            rows_out=totals.rows_out,
            failed=totals.failed,
            skipped=totals.skipped,
            failure_reason=outcome.failure_reason,
            nodes=outcome.nodes,
            log=outcome.log,
            resumed=outcome.resumed,
            _pipeline=self,
            _root=outcome.root_run_id,
            _database_url=job.database_url,
            _files_root=job.files_root,
        )
        if result.status == "failed":
            raise PipelineFailed(result)
        return result

    def _ready(self) -> Mapping[str, Any]:
        if self._problems or self._document is None:
            raise PipelineInvalid(self._problems)
        assert self._document.ir is not None, "pipelines have an IR"
        return self._document.ir

    def _job(
        self,
        files_root: str | Path,
        database_url: str | None,
        parameters: Mapping[str, ParameterValue] | None,
        what: str,
    ) -> Job:
        require("engine", f"Pipeline.{what}")
        import psycopg

        from headrace.connectors.postgresql.error_messages import error_message
        from headrace.flows.in_process.job import local_job

        pipeline = self._pipeline()
        try:
            return local_job(pipeline, Path(files_root), database_url or "", dict(parameters or {}))
        except psycopg.Error as error:
            raise HeadraceError(f"The database cannot be used: {error_message(error)}") from None

    def _pipeline(self) -> RunPipeline:
        from headrace.catalog.repositories.connectors import named_connectors
        from headrace.catalog.runs.records import ConnectorRecord, RunPipeline

        ir = dict(self._ready())
        assert self._document is not None, "it is ready"
        shape = self._document.pipeline
        connector = ConnectorRecord("in_process", LOCAL_FILES, {})
        if shape.connector != UNNAMED:
            connector = replace(self._connector(shape.connector), id="in_process")
        name = " ".join(self.name.split())
        named = {each: self._connector(each) for each in named_connectors(ir)}
        described = {each.name: dict(each.described) for each in self._documents if each.described is not None}
        return RunPipeline(
            ir["id"],
            "default",
            name,
            ir,
            1,
            connector,
            shape.execution_config,
            frozenset(),
            named=named,
            documents=described,
        )

    def _connector(self, name: str) -> ConnectorRecord:
        from headrace.catalog.runs.records import ConnectorRecord

        found = next((each for each in self._documents if (each.kind, each.name) == ("connector", name)), None)
        if found is None:
            message = f"The connector '{name}' is not in the document"
            raise PipelineInvalid([Problem("connector", "unknown_connector", message, "put it beside the pipeline")])
        return ConnectorRecord(name, *_filled(found))


def _filled(connector: Document) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The connector's type, config and credentials, with `${NAME}` replaced from the environment. Raises
    PipelineInvalid."""
    from headrace.deployments.cli.documents.placeholders import expand

    problems: list[Problem] = []
    shape = connector.connector
    config = expand(shape.config, "config", os.environ, problems)
    credentials = expand(shape.auth_config or {}, "authConfig", os.environ, problems)
    blocks = [name for name, value in credentials.items() if isinstance(value, str) and value.startswith("prefect://")]
    problems += [
        Problem(
            f"authConfig.{name}", "unsupported_reference", "A block of Prefect is read by flows only", "use ${NAME}"
        )
        for name in blocks
    ]
    if problems:
        raise PipelineInvalid(problems)
    return shape.type, config, credentials


def _problems(faults: Iterable[Fault]) -> tuple[Problem, ...]:
    """The problems, with their position in the file before the path in the document."""
    return tuple(
        Problem(each.origin.place(each.problem.path), each.problem.code, each.problem.message, each.problem.hint)
        for each in faults
    )
