"""Runs benchmarks and stores what they measure.

    python -m benchmarks [NAME ...] [--rows 2000000] [--rounds 3] [--peers] [--minutes 30] [--out FILE] [--list]

Without names it runs all of them, one after the other, on servers of their own: about an hour. A name like `append`
stands for all of `append/...`. Results are stored per machine in `benchmarks/results/`, each with the machine's load
before and after, replacing earlier ones of the same benchmark; `make docs` then writes docs/performance.md and its
plots from them.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import results
from benchmarks.growth import Curve
from benchmarks.machine import load_average, machine, name_of, used_by_others, versions
from benchmarks.registry import BENCHMARKS, Benchmark, Program, chosen

_ROWS = 2_000_000


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--rows", type=int, help="of the larger files; each of the other benchmarks has its own size")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", action="store_true", help="also dlt and Sling, which are installed for it")
    parser.add_argument("--minutes", type=float, help="begin no further benchmark after so many")
    parser.add_argument("--out", type=Path, help="another file for the results")
    parser.add_argument("--list", action="store_true", help="print the names")
    given = parser.parse_args(arguments)
    if given.list:
        print("\n".join(BENCHMARKS))
        return
    try:
        benchmarks = chosen(given.names, with_peers=given.peers)
    except KeyError as unknown:
        parser.error(f"there is no benchmark {unknown}; `--list` prints their names")
    found = machine()
    out = given.out or results.FOLDER / f"{name_of(found)}.json"
    failed, left, end = [], [], time.monotonic() + 60 * (given.minutes or math.inf)
    for name, what in benchmarks.items():
        if time.monotonic() > end:
            left.append(name)
            continue
        print(f"\n== {name}", flush=True)
        began, load, others, used = datetime.now(UTC), load_average(), used_by_others(), versions()
        try:
            measured = measure(what, given.rows, given.rounds)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the others are measured all the same
            traceback.print_exception(error)
            failed.append(name)
            continue
        about = {
            "measured": f"{began:%Y-%m-%d %H:%M} UTC",
            "load": [load, load_average()],
            "others": others,
            "versions": used,
        }
        results.add(out, found, name, about | measured)
    print(f"\nStored in {out}. `make docs` writes docs/performance.md.")
    if left:
        print(f"Not begun after {given.minutes:g} minutes: {', '.join(left)}")
    if failed:
        raise SystemExit(f"Failed, and nothing stored: {', '.join(failed)}")


def measure(what: Benchmark, rows: int | None, rounds: int) -> dict[str, Any]:
    """Runs one benchmark; what is stored of it. Raises what it raises when a load fails or is not exact."""
    if isinstance(what, Program):
        return {"printed": printed(what, rows)}
    if isinstance(what, Curve):
        return {"rounds": rounds, **what.stored(rows, rounds)}
    compared = [each.stored() for each in what.measure(rows or _ROWS, rounds)]
    return {"rounds": rounds, "comparisons": compared}


def printed(program: Program, rows: int | None) -> list[str]:
    """The lines that a benchmark of its own kind prints, which are shown too. Raises SystemExit if it fails."""
    command = [sys.executable, "-m", f"benchmarks.{program.module}"]
    if rows is not None and program.rows is not None:
        command += [*program.rows.split(), str(rows)]
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line.rstrip())
    if process.returncode:
        raise SystemExit(f"`{' '.join(command[1:])}` failed")
    return [line for line in lines if line]


if __name__ == "__main__":
    main()
