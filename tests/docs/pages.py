"""The commands that README, docs/ and the Makefile show, read off the pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

_PROGRAMS = ("headrace", "make", "prefect", "python", "pip", "docker", "kubectl")
_START = re.compile(rf"(?:{'|'.join(_PROGRAMS)}) [^`]+")
_BETWEEN = re.compile(r"\s*(?:&&|\|\||;|\|)\s*")


def commands() -> dict[str, list[str]]:
    """Every command line that the pages show, without its comment, and the pages that have it."""
    found: dict[str, list[str]] = {}
    for page in PAGES:
        for line in _lines(page.read_text()):
            found.setdefault(line, []).append(page.name)
    return found


def targets() -> set[str]:
    """What `make help` lists."""
    return set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))


def blocks(page: Path, language: str = "bash") -> list[str]:
    """The fenced blocks of a page in a language."""
    found = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    return [text for name, text in found if name == language]


def _lines(text: str) -> Iterator[str]:
    shown = [*re.findall(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL)]
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    shown += re.findall(r"^ {4}(\S.*)$", prose, re.MULTILINE)
    shown += [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", re.sub(r"^ {4}\S.*$", "", prose, flags=re.M))]
    for each in shown:
        for line in each.splitlines():
            for command in _BETWEEN.split(re.sub(r"\s+# .*", "", line)):
                if _START.fullmatch(command):
                    yield command.strip()
