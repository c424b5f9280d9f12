"""Servers of packages that do not fit beside those of Headrace: virtual environments, and packages of npm. Each is made
once on a machine."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

_INSTALL = Path(__file__).parents[1] / ".ci" / "install.py"


class NotInstalledError(Exception):
    """What the installer says of packages that it could not install."""


def environment(folder: Path, packages: Sequence[str], python: str = sys.executable) -> Path:
    """The interpreter of the environment in `folder`, which is made of `python` and exactly these packages if it is not
    there. Other processes wait for the one that makes it. Raises NotInstalledError."""
    made, ready, wanted = folder / "bin" / "python", folder / "ready", " ".join(packages)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists() or ready.read_text() != wanted:
            shutil.rmtree(folder, ignore_errors=True)
            for command in (
                [python, "-m", "venv", "--without-pip", str(folder)],
                [sys.executable, str(_INSTALL), "--python", str(made), *packages],
            ):
                done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
                if done.returncode:
                    raise NotInstalledError(done.stderr)
            ready.write_text(wanted)
    return made


def npm_package(name: str, version: str) -> Path:
    """The folder `node_modules` with a package of npm, which is installed if it is not there. Other processes wait for
    the one that installs it. Raises NotInstalledError."""
    folder = Path(tempfile.gettempdir()) / "headrace-npm" / f"{name.replace('/', '-')}-{version}"
    folder.mkdir(parents=True, exist_ok=True)
    installed = folder / "node_modules"
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (installed / name / "package.json").exists():
            if (npm := shutil.which("npm")) is None:
                raise NotInstalledError("npm is not here")
            command = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), f"{name}@{version}"]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
            if done.returncode:
                raise NotInstalledError(done.stderr)
    return installed
