"""Environments of programs that benchmarks need and Headrace does not: generators, and tools to compare with."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.environments import environment


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headrace" / "benchmarks"


def python(name: str, packages: Sequence[str]) -> Path:
    """The interpreter of an environment with exactly these packages, made at first use. Raises NotInstalledError."""
    return environment(_cache() / name, packages)


def program(name: str, packages: Sequence[str], command: str) -> Path:
    """A program that the packages bring. Raises NotInstalledError."""
    return python(name, packages).with_name(command)


def installed(interpreter: Path, package: str) -> str:
    """The version of a package there."""
    ask = f"import importlib.metadata as m; print(m.version({package!r}))"
    return subprocess.run([interpreter, "-c", ask], capture_output=True, text=True, check=True).stdout.strip()
