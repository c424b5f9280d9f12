"""All checks of `headrace doctor`, and the settings that they use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from headrace.deployments.cli.doctor.connectors import connectors
from headrace.deployments.cli.doctor.database import database
from headrace.deployments.cli.doctor.files import files, staging
from headrace.deployments.cli.doctor.finding import Finding
from headrace.deployments.cli.doctor.installation import folder, versions
from headrace.deployments.cli.doctor.services import api, prefect
from headrace.deployments.cli.options import api_address
from headrace.deployments.prefect.api import PrefectApi
from headrace.deployments.stack.layout import WORK_POOL, Layout
from headrace.deployments.stack.state import StackState


@dataclass(frozen=True, slots=True)
class Targets:
    """The objects of the checks; None where not configured."""

    data_dir: Path
    api_url: str | None
    api_key: str | None
    database_url: str | None
    prefect: PrefectApi | None
    files_root: Path | None
    staging_url: str
    work_pool: str


def find_targets(url: str | None, api_key: str | None, data_dir: Path) -> Targets:
    """From the options, else the environment, else the stack on the folder."""
    state = StackState.read(Layout.of(data_dir).state)
    environment = os.environ
    files = environment.get("HEADRACE_FILES_ROOT")
    remote = url is not None and (state is None or state.api_url != api_address(url))
    local = None if remote else state
    prefect_url = environment.get("HEADRACE_PREFECT_API_URL")
    return Targets(
        data_dir=Layout.of(data_dir).root,
        api_url=url or (local.api_url if local else None),
        api_key=api_key or (local.api_key if local else None),
        database_url=environment.get("HEADRACE_DATABASE_URL") or (local.database_url if local else None),
        prefect=PrefectApi.of(prefect_url) if prefect_url else (local.prefect_api if local else None),
        files_root=Path(files) if files else (local.files_root if local else None),
        staging_url=environment.get("HEADRACE_STAGING_URL", ""),
        work_pool=environment.get("HEADRACE_WORK_POOL", WORK_POOL),
    )


def all_findings(where: Targets) -> Iterator[Finding]:
    """All checks, in the order in which problems should be corrected."""
    yield from versions()
    yield from folder(where.data_dir)
    yield from database(where.database_url)
    yield from prefect(where.prefect, where.work_pool)
    yield from api(where.api_url, where.api_key)
    yield from connectors(where.api_url, where.api_key)
    yield from files(where.files_root, where.database_url)
    yield from staging(where.staging_url, where.files_root)
