"""A whole run under Prefect sends OpenLineage events, and failures to send do not change its result."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from headrace.deployments.stack.environment import base_environment, headrace_environment
from tests.conftest import RunningStack
from tests.databases import run_settings
from tests.rest import Api

pytestmark = pytest.mark.stack


@pytest.mark.slow
def test_a_run_reports_its_start_and_its_end_although_somebody_cannot_be_reached(
    stack: RunningStack, tmp_path: Path
) -> None:
    with closing(Api(stack)) as api:
        api.create()
        reported = tmp_path / "openlineage.jsonl"
        settings = {
            **run_settings(stack.data_dir, stack.database_url),
            "files_root": stack.files_root,
            "key_pepper": "a pepper for this test",
            "openlineage_file": reported,
            "openlineage_url": "http://127.0.0.1:9",
            "openlineage_namespace": "shop",
        }
        environment = base_environment() | headrace_environment(settings)
        environment |= stack.prefect_api.environment | {"PREFECT_HOME": str(tmp_path)}
        patient = "from headrace.flows.lineage.openlineage import emitter; emitter.TIMEOUT_S = 60.0"
        patient += "; emitter.TIMEOUT_AFTER_FAILURE_S = 60.0"
        imports = "import asyncio; from headrace.flows.run import run_pipeline"
        run = f"{patient}; {imports}; asyncio.run(run_pipeline({api.pipeline!r}, 'default'))"
        command = [sys.executable, "-P", "-c", run]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        assert len(api.rows()) == 2

        start, end = map(json.loads, reported.read_text().splitlines())
        assert [(event["eventType"], event["job"]["namespace"]) for event in (start, end)] == [
            ("START", "shop"),
            ("COMPLETE", "shop"),
        ]
        run_id = end["run"]["facets"]["headrace_run"]["runId"]
        assert end["run"]["runId"].replace("-", "") == run_id.removeprefix("run_")
        [source], [table] = end["inputs"], end["outputs"]
        assert source["name"] == str(api.file)
        assert table["name"].endswith(api.table)
        assert source["inputFacets"]["inputStatistics"]["rowCount"] == 3
        assert table["outputFacets"]["outputStatistics"]["rowCount"] == 2
        assert set(table["facets"]["columnLineage"]["fields"]) == {"amount", "note"}

        with psycopg.connect(stack.database_url) as connection:
            query = "SELECT message FROM headrace.run_log WHERE run_id = %s AND message LIKE 'OpenLineage%%'"
            assert connection.execute(query, (run_id,)).fetchall() == [
                ("OpenLineage did not receive all events of this run: 127.0.0.1:9 cannot be reached (ConnectionError)",)
            ]
