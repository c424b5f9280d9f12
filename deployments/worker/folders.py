"""Where runs have their working folders: below Prefect's home, so that the next start can sweep a killed worker's."""

from __future__ import annotations

import shutil
from pathlib import Path

RUN_FOLDERS = "headrace-runs"


def sweep_run_folders(prefect_home: Path) -> None:
    """Removes the working folders of runs; call it while no worker runs there."""
    shutil.rmtree(prefect_home / RUN_FOLDERS, ignore_errors=True)
