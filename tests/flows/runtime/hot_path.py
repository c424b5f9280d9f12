"""One load in a process of its own, counted: `python -m tests.flows.runtime.hot_path FILE DATABASE_URL DATASET` prints
JSON. Nothing is timed, so that the counts are the same on a busy machine."""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.datasets import DATASETS
from benchmarks.in_process import load

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
    rows = load(file, url, DATASETS[name]).rows_out
    sys.setprofile(None)
    counts = {**found, "read": _bytes_read() - before, "rows": rows, "size": file.stat().st_size}
    sys.stdout.write(json.dumps(counts) + "\n")


if __name__ == "__main__":
    main()
