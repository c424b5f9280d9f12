"""The scratch folder of a killed process is removed by the next process; that of a living one is kept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_MADE = """
import os, sys
from headrace.flows.runtime.staging.scratch import scratch_folder
folder = scratch_folder()
(folder / "rows").write_text("rows")
print(folder, flush=True)
sys.stdin.readline()
if "killed" in sys.argv:
    os.kill(os.getpid(), 9)
"""


def process(tmp_path: Path, *given: str) -> tuple[subprocess.Popen[str], Path]:
    started = subprocess.Popen(
        [sys.executable, "-c", _MADE, *given],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert started.stdout is not None
    return started, Path(started.stdout.readline().strip())


def test_a_killed_process_leaves_nothing_for_long(tmp_path: Path) -> None:
    killed, left = process(tmp_path, "killed")
    living, kept = process(tmp_path)
    killed.communicate("\n")
    assert (left / "rows").exists()
    third, own = process(tmp_path)
    assert not left.exists()
    assert (kept / "rows").exists()
    for each in (living, third):
        each.communicate("\n")
    assert not kept.exists()
    assert not own.exists()
