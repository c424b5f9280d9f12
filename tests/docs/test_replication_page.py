"""The example of docs/replication.md, followed word by word on the real stack."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import psycopg
import pytest

from headrace.deployments.stack.database.server import EmbeddedPostgres
from tests.conftest import HEADRACE, started_stack
from tests.connectors.sql.postgresql.shop import PASSWORD, server
from tests.docs.pages import ROOT

__all__ = ["server"]

pytestmark = [pytest.mark.stack, pytest.mark.slow]

PAGE = ROOT / "docs" / "replication.md"
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
GRANTS = "GRANT USAGE ON SCHEMA sales TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA sales TO reader"


def shown(text: str) -> list[tuple[list[str], list[str]]]:
    """The commands of a console, each with the lines that it prints."""
    found: list[tuple[list[str], list[str]]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line.split()[1:], []))
        else:
            found[-1][1].append(line)
    return found


def agrees(printed: list[str], lines: list[str]) -> bool:
    """Whether the lines are what was printed, where `...` matches any lines."""
    if not lines:
        return not printed
    if lines[0] == "...":
        return any(agrees(printed[skipped:], lines[1:]) for skipped in range(len(printed) + 1))
    return bool(printed) and printed[0].rstrip() == lines[0].rstrip() and agrees(printed[1:], lines[1:])


def test_the_example_does_what_the_page_shows(server: tuple[EmbeddedPostgres, int], tmp_path: Path) -> None:
    running, port = server
    with psycopg.connect(f"{running.url('postgres')}&port={port}", autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS shop WITH (FORCE)")
        connection.execute("CREATE DATABASE shop")
    owner = f"{running.url('shop')}&port={port}"
    followed = 0
    with started_stack(HEADRACE_CONNECTOR_NETWORKS='["127.0.0.0/8", "::1/128"]') as stack:
        environment = {
            **os.environ,
            "HEADRACE_URL": stack.api_url.removesuffix("/api/v1"),
            "HEADRACE_API_KEY": stack.api_key,
            "SHOP_PASSWORD": PASSWORD,
            "TERM": "dumb",
            "NO_COLOR": "1",
            "COLUMNS": "500",
        }
        for language, text in BLOCKS:
            if language == "sql":
                with psycopg.connect(owner, autocommit=True) as connection:
                    connection.execute(text.encode())
                    connection.execute(GRANTS)
            elif language == "yaml":
                (tmp_path / "shop.yaml").write_text(text.replace("port: 5432", f"port: {port}"))
            elif language == "console":
                for command, lines in shown(text):
                    done = subprocess.run(
                        [*HEADRACE, *command[1:]],
                        check=False,
                        cwd=tmp_path,
                        env=environment,
                        capture_output=True,
                        text=True,
                    )
                    assert done.returncode == 0, done.stderr
                    assert agrees(done.stdout.splitlines(), lines), done.stdout
                    followed += 1
    assert followed == 5
