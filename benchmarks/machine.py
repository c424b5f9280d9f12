"""The machine and the versions that results are of."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import sysconfig
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from headrace.deployments.stack.database.installation import find_binaries

_ROOT = Path(__file__).parents[1]
_PACKAGES = ("polars", "pgpq", "psycopg", "prefect", "duckdb")


def machine() -> dict[str, Any]:
    """Processor, number of cores that this process may use, memory in GB, and system."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "processor": _processor(),
        "cores": cores,
        "memory": round(psutil.virtual_memory().total / 1e9),
        "system": f"{platform.system()} {platform.machine()}",
    }


def name_of(found: dict[str, Any]) -> str:
    """A file name for the machine: its number of cores and its processor."""
    words = re.sub(r"\(.*?\)|@.*|processor|cpu", "", str(found["processor"]), flags=re.IGNORECASE)
    return f"{found['cores']}-cores-{re.sub(r'[^a-z0-9]+', '-', words.lower()).strip('-')}"


def versions() -> dict[str, str]:
    """Versions of the interpreter, how it was built, the packages of the data path, PostgreSQL and Headrace."""
    # those of distributions are, whatever their variables say
    optimized = "--enable-opt" in str(sysconfig.get_config_var("CONFIG_ARGS")) or sys.base_prefix == "/usr"
    return {
        "python": platform.python_version() + ("" if optimized else " (built without optimizations)"),
        **{package: version(package) for package in _PACKAGES},
        "postgresql": _said([str(find_binaries() / "postgres"), "--version"]).split()[2],
        "headrace": _commit(),
    }


def load_average() -> float:
    """Processes that ran or waited for a core, on average over the last minute."""
    return round(os.getloadavg()[0], 1)


def used_by_others() -> int:
    """The share of the cores that is in use now, in percent, over a second in which this program waits."""
    return round(psutil.cpu_percent(interval=1))


def _commit() -> str:
    """The commit of the checkout, marked if a file of the program has been changed since; its version without Git."""
    try:
        git = ["git", "-C", str(_ROOT)]
        commit = _said([*git, "rev-parse", "--short", "HEAD"])
        program = ["api", "catalog", "connectors", "deployments", "flows", "headrace", "ir"]
        changed = _said([*git, "status", "--porcelain", "--", *program])
    except (OSError, subprocess.CalledProcessError):
        return version("headrace")
    return commit + (" with changes" if changed else "")


def _said(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _processor() -> str:
    """The processor's name, as the system has it."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()
