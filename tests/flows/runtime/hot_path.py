"""One load in a process of its own, counted: `python -m tests.flows.runtime.hot_path FILE DATABASE_URL DATASET [rules]`
prints JSON. With `rules`, those of the benchmarks' orders are checked, and the cells that break them are encoded for
the catalog. Nothing is timed, so that the counts are the same on a busy machine."""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import polars as pl

from benchmarks.datasets import DATASETS
from benchmarks.in_process import load
from benchmarks.orders import RULES
from benchmarks.silence import Silence
from headrace.flows.runtime.run_recorder import cells_as_copy


class _Encoding(Silence):
    """Goes as far as a run's recorder, but for the catalog."""

    def rejected(self, stage: int, partition: int, node: str, cells: pl.DataFrame, *, warning: bool) -> None:
        place = {"root_run_id": "r", "run_id": "r", "node_id": node, "stage": stage, "partition": partition}
        assert cells_as_copy(cells, **place, warning=warning)


_POLARS = ("PySeries", "PyDataFrame", "PyLazyFrame")


def _bytes_read() -> int:
    """Bytes that this process has read by system calls; those that its sockets received are not among them."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.partition(":")[2]) for line in lines if line.startswith("rchar"))


def main() -> None:
    """Counts calls of Python functions, calls into polars on frames and columns, queries, batches and bytes."""
    file, url, name = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    found = Counter[str]()

    def count(frame: FrameType, event: str, called: Any) -> None:
        if event == "call":
            found["python"] += 1
            found["batches"] += frame.f_code.co_name == "copy_rows"
        elif event == "c_call" and type(getattr(called, "__self__", None)).__name__ in _POLARS:
            found["polars"] += 1
            found["queries"] += called.__name__ == "collect"

    before = _bytes_read()
    threading.setprofile(count)  # for the threads of the partitions, which start later
    sys.setprofile(count)
    checked = RULES if sys.argv[4:] == ["rules"] else ()
    totals = load(file, url, DATASETS[name], rules=checked, recorder=_Encoding())
    sys.setprofile(None)
    counts = {
        **found,
        "read": _bytes_read() - before,
        "rows": totals.rows_out,
        "failed": totals.failed,
        "size": file.stat().st_size,
    }
    sys.stdout.write(json.dumps(counts) + "\n")


if __name__ == "__main__":
    main()
