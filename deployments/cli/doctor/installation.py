"""Checks of the installation: Python, packages, the data folder and the stack on it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from headrace.deployments.cli.doctor.finding import Finding
from headrace.deployments.extras import MODULES, install, missing
from headrace.deployments.stack.layout import Layout
from headrace.deployments.stack.state import holder

_LOW_DISK = 2 * 1024**3
_IMPORTANT = ("prefect", "fastapi", "polars", "sqlalchemy", "psycopg", "pydantic")


def versions() -> Iterator[Finding]:
    """Python, the extras, and whether the installed packages have the versions that this release requires."""
    yield Finding("python", "ok", ".".join(map(str, sys.version_info[:3])))
    whole = [extra for extra in MODULES if not missing(extra)]
    yield Finding("extras", "ok", ", ".join(whole) or f"none: documents, client and command line ({install('local')})")
    from packaging.requirements import Requirement

    try:
        needed = [Requirement(text) for text in requires("headrace") or ()]
    except PackageNotFoundError:
        yield Finding("packages", "warning", "headrace runs from a checkout", "`make setup` installs what is pinned.")
        return
    wrong: list[str] = []
    shown: list[str] = []
    for each in needed:
        marker = each.marker
        of_core = marker is None or marker.evaluate({"extra": ""})
        asked = marker is None or any(marker.evaluate({"extra": name}) for name in ("", *MODULES))
        if each.name == "headrace" or not asked:
            continue
        try:
            installed = version(each.name)
        except PackageNotFoundError:
            if of_core:  # a missing package of an extra is reported on use
                wrong.append(f"{each.name} is missing")
            continue
        if each.name in _IMPORTANT:
            shown.append(f"{each.name} {installed}")
        if not each.specifier.contains(installed, prereleases=True):
            wrong.append(f"{each.name} {installed} is not {each.specifier}")
    if wrong:
        yield Finding("packages", "failed", "; ".join(wrong), "`make setup`, or pip install -r requirements.lock.")
    else:
        yield Finding("packages", "ok", ", ".join(dict.fromkeys(shown)) or "those of the command line")


def folder(data_dir: Path) -> Iterator[Finding]:
    """The data folder, and whether a stack runs on it."""
    layout = Layout.of(data_dir)
    if not layout.root.exists():
        yield Finding("data folder", "warning", f"{layout.root} is not there", "`headrace up` makes it.")
        return
    if not os.access(layout.root, os.W_OK):
        yield Finding("data folder", "failed", f"{layout.root} cannot be written", "Give it to this user (chown).")
    free = shutil.disk_usage(layout.root).free
    space = f"{layout.root}, {free / 1024**3:,.1f} GiB free"
    if free < _LOW_DISK:
        yield Finding("data folder", "warning", space, "Make room: loads write the rows, and PostgreSQL its log.")
    else:
        yield Finding("data folder", "ok", space)
    pid = holder(layout.lock)
    if pid is None:
        yield Finding("stack", "warning", "no stack runs on it", "`headrace up` starts one.")
    else:
        yield Finding("stack", "ok", f"process {pid}")
