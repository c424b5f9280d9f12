"""A late retry finds the staged rows of its chain: garbage collection does not drop them."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.flows.resume.continuation import Continuation
from headrace.flows.runtime.errors import RunFailed
from headrace.flows.runtime.execute import Execution
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.scheduler import run_in_threads
from headrace.flows.runtime.stored_plan import stored_plan
from headrace.flows.runtime.targets.locks import TargetLocks
from tests.databases import as_superuser
from tests.flows.runtime.audited import PASSED, Audited

pytestmark = pytest.mark.postgres

RULE = {"maxDeviationPct": 1}


@pytest.mark.parametrize("mode", ["append", "upsert", "incremental_watermark"])
def test_what_a_run_staged_long_ago_is_published_by_its_retry(tmp_path: Path, database_url: str, mode: str) -> None:
    audited = Audited(tmp_path, database_url)
    job = audited.job(mode, rowCountAnomaly=RULE)
    prepared = prepare(job)
    audited.recorder.earlier = [1]
    with pytest.raises(RunFailed):
        run_in_threads(Execution(prepared, audited.recorder))

    aged = "replace(description, 'begun 20', 'begun 19')"
    as_superuser(database_url, f"UPDATE pg_description SET description = {aged} WHERE description LIKE 'Head%'")
    for table, at in (("ledger", "updated_at"), ("staging_ledger", "updated_at"), ("loads", "started_at")):
        audited.sql(f"UPDATE _headrace.{table} SET {at} = {at} - interval '30 days'")

    audited.recorder.earlier = []
    again = audited.job(
        mode, Continuation(job.run_id, retry_of=job.run_id, earlier_plan=stored_plan(prepared)), rowCountAnomaly=RULE
    )
    locks = TargetLocks(again)
    assert locks.acquire() is None
    try:
        totals = run_in_threads(Execution(prepare(again), audited.recorder, locks))
    finally:
        locks.release()
    assert (totals.rows_out, audited.count) == (PASSED, PASSED + 1)
