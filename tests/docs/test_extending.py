"""The pages of docs/extending: each diff applies to this tree, and what the page shows of it is so."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
ROOMS = ("ir", "connectors", "catalog", "flows", "deployments", "api", "headrace")
PAGES = sorted((REPOSITORY / "docs" / "extending").glob("*.md"))


@pytest.mark.postgres
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_does_what_it_shows(page: Path, tmp_path: Path) -> None:
    for room in ROOMS:
        ignored = shutil.ignore_patterns("kubernetes", "containers")
        shutil.copytree(REPOSITORY / room, tmp_path / room, symlinks=True, ignore=ignored)
    blocks = dict(re.findall(r"^```(diff|python)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL))
    subprocess.run(["git", "apply", "-"], input=blocks["diff"], text=True, cwd=tmp_path, check=True)
    shown = subprocess.run(
        [sys.executable, "-c", blocks["python"]],
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert shown.returncode == 0, shown.stderr


def test_there_are_pages() -> None:
    assert {page.stem for page in PAGES} >= {"op", "rule", "hook", "connector"}
