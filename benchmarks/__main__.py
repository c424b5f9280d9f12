"""Runs benchmarks and stores what they measure.

    python -m benchmarks [NAME ...] [--rows 2000000] [--rounds 3] [--peers] [--out FILE] [--list]

Without names it runs all of them, one after the other, on servers of their own: about an hour. A name like `append`
stands for all of `append/...`. Results are stored per machine in `benchmarks/results/`, each with the machine's load
before and after, replacing earlier ones of the same benchmark; `make docs` then writes docs/performance.md and its
plots from them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import results
from benchmarks.machine import load_average, machine, name_of, versions
from benchmarks.registry import BENCHMARKS, Compared, Program, chosen
from tests.environments import NotInstalledError

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
    failed = []
    for name, what in benchmarks.items():
        print(f"\n== {name}", flush=True)
        began, load, used = datetime.now(UTC), load_average(), versions()
        try:
            measured = measure(what, given.rows, given.rounds)
        except (SystemExit, subprocess.CalledProcessError, NotInstalledError) as error:
            print(f"{name} failed: {error}", file=sys.stderr)
            failed.append(name)
            continue
        about = {"measured": f"{began:%Y-%m-%d %H:%M} UTC", "load": [load, load_average()], "versions": used}
        results.add(out, found, name, about | measured)
    print(f"\nStored in {out}. `make docs` writes docs/performance.md.")
    if failed:
        raise SystemExit(f"Failed, and nothing stored: {', '.join(failed)}")


def measure(what: Compared | Program, rows: int | None, rounds: int) -> dict[str, Any]:
    """Runs one benchmark; what is stored of it. Raises what it raises when a load fails or is not exact."""
    if isinstance(what, Program):
        return {"printed": printed(what, rows)}
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
