"""Every command that README, docs/ and `make help` show is run by a test, or by `make test-all`. Whoever adds one says
here what runs it."""

from __future__ import annotations

import functools
import re
from typing import Any

import pytest
from typer.main import get_command

from benchmarks.registry import modules as measured
from headrace.deployments.cli.app import app
from tests.docs.pages import ROOT, commands, targets

CLONE = "tests/packaging/test_fresh_clone.py"
_COMMANDS = "tests/deployments/cli"

HEADRACE = {
    "mcp": "tests/security/test_mcp.py",
    "--help": "tests/deployments/cli/test_app.py",
    "--install-completion": f"{_COMMANDS}/test_documents.py",
    "apply": f"{_COMMANDS}/test_apply.py",
    "cancel": f"{_COMMANDS}/test_runs.py",
    "connectors build": f"{_COMMANDS}/test_connector_documents.py",
    "connectors diff": f"{_COMMANDS}/test_stored_documents.py",
    "connectors documents": f"{_COMMANDS}/test_stored_documents.py",
    "connectors publish": f"{_COMMANDS}/test_stored_documents.py",
    "connectors push": f"{_COMMANDS}/test_stored_documents.py",
    "connectors shipped": f"{_COMMANDS}/test_stored_documents.py",
    "connectors versions": f"{_COMMANDS}/test_stored_documents.py",
    "connectors discover": f"{_COMMANDS}/test_versions.py",
    "connectors list": f"{_COMMANDS}/test_versions.py",
    "connectors new": f"{_COMMANDS}/test_connector_documents.py",
    "connectors test": f"{_COMMANDS}/test_versions.py",
    "connectors try": f"{_COMMANDS}/test_connector_documents.py",
    "connectors validate": f"{_COMMANDS}/test_connector_documents.py",
    "cursors": f"{_COMMANDS}/test_cursors.py",
    "db roles": "tests/security/test_database_roles.py",
    "db upgrade": "tests/deployments/cli/test_app.py",
    "demo": "tests/deployments/test_demo.py",
    "diff": f"{_COMMANDS}/test_versions.py",
    "doctor": f"{_COMMANDS}/test_end_to_end.py",
    "down": "tests/deployments/stack/test_stack_lifecycle.py",
    "errors": f"{_COMMANDS}/test_runs.py",
    "export": f"{_COMMANDS}/test_apply.py",
    "init": f"{_COMMANDS}/test_offline.py",
    "keys": "tests/deployments/cli/test_api_keys.py",
    "keys accept-audit-log": "tests/security/test_audit_chain.py",
    "keys create": "tests/deployments/cli/test_api_keys.py",
    "keys list": "tests/deployments/cli/test_api_keys.py",
    "keys revoke": "tests/deployments/cli/test_api_keys.py",
    "keys rotate-encryption": "tests/deployments/stack/test_encryption_keys.py",
    "logs": f"{_COMMANDS}/test_logs.py",
    "open": "tests/security/test_prefect_api.py",
    "pause": f"{_COMMANDS}/test_versions.py",
    "plan": f"{_COMMANDS}/test_plans.py",
    "preview": f"{_COMMANDS}/test_end_to_end.py",
    "publish": f"{_COMMANDS}/test_versions.py",
    "resume": f"{_COMMANDS}/test_versions.py",
    "retry": f"{_COMMANDS}/test_end_to_end.py",
    "run": f"{_COMMANDS}/test_end_to_end.py",
    "runs": f"{_COMMANDS}/test_runs.py",
    "serve": f"{_COMMANDS}/test_services.py",
    "up": "tests/deployments/stack/test_stack_lifecycle.py",
    "validate": f"{_COMMANDS}/test_offline.py",
    "versions": f"{_COMMANDS}/test_versions.py",
    "worker": "tests/deployments/worker/test_two_workers.py",
}
"""The test that runs each command of `headrace`."""

MAKE = {
    "bench": "test-all",
    "chaos": "test-all",
    "clean": CLONE,
    "demo": CLONE,
    "docs": CLONE,
    "down": CLONE,
    "format": CLONE,
    "fuzz": "test-all",
    "help": CLONE,
    "lint": "test",
    "lock": CLONE,
    "setup": CLONE,
    "test": "test-all",
    "test-all": "itself",
    "test-ray": "test-all",
    "up": CLONE,
}
"""What runs each target of the Makefile: another target, or a test."""

OTHERS = {
    "docker compose up": "tests/deployments/test_containers.py: compose.yaml is checked against the specification",
    "docker run": "only named",
    "docker stop": "only named",
    "pip install": f"{CLONE}: what it installs is in requirements-dev.lock",
    "prefect automation create": "tests/deployments/test_automations.py",
    "prefect block register": "tests/headrace/test_client.py",
    "prefect deployment run": "tests/deployments/worker/test_stock_pool.py",
    "prefect flow-run execute": "tests/deployments/worker/test_stock_pool.py",
    "prefect server start": "tests/deployments/stack/test_own_prefect.py",
    "prefect work-pool create": "needs a container engine; run by hand, as the page says",
    "prefect work-pool get-default-base-job-template": "needs a container engine; run by hand, as the page says",
    "prefect worker start": "tests/deployments/worker/test_stock_pool.py",
    "python -P -m headrace.deployments.stack.prefect_server": "tests/deployments/stack/test_prefect_server.py",
    "python -c": "tests/deployments/test_automations.py",
    "python -m benchmarks.api": "bench",
    "python -m benchmarks.bson_columns": "bench",
    "python -m benchmarks.console": "bench",
    "python -m benchmarks.generated_key": "bench",
    "python -m benchmarks.kafka": "bench",
    "python -m benchmarks.killed_copy": "bench",
    "python -m benchmarks.streaming": "bench",
    "python -m benchmarks.kinesis": "bench",
    "python -m benchmarks.webhook": "bench",
    "python -m benchmarks.overhead": "bench",
    "python -m benchmarks.postgresql_source": "bench",
    "python -m benchmarks.postgresql_to_postgresql": "bench",
    "python -m benchmarks.reconcile": "bench",
    "python -m benchmarks.stores": "bench",
    "python -m benchmarks": "tests/benchmarks/test_command.py",
}
"""The same of other programs' commands."""


@functools.cache
def _app() -> Any:
    """All commands; building them takes a while."""
    return get_command(app)


def known(group: Any, *path: str) -> dict[str, Any]:
    """The commands of `headrace`, by their words."""
    found: dict[str, Any] = {}
    for name, command in getattr(group, "commands", {}).items():
        found[" ".join((*path, name))] = command
        found |= known(command, *path, name)
    return found


@functools.cache
def _known() -> dict[str, Any]:
    return known(_app())


def shown(program: str) -> list[str]:
    return [line for line in commands() if line.startswith(f"{program} ")]


def key(line: str) -> str:
    """The command of a `headrace` line: all of its words that name one."""
    words = line.split()[1:]
    there = _known()
    for length in (2, 1):
        if " ".join(words[:length]) in there:
            return " ".join(words[:length])
    return words[0]


def test_every_command_of_headrace_is_run_by_a_test() -> None:
    groups = {name for name, command in _known().items() if hasattr(command, "commands")}
    asked = {key(line) for line in shown("headrace")}
    assert set(_known()) - groups | asked == set(HEADRACE)
    for command, test in HEADRACE.items():
        called = r",\s*".join(f'"{word}"' for word in command.split())
        assert re.search(called, (ROOT / test).read_text()), f"{test} does not run `headrace {command}`"


@pytest.mark.parametrize("line", shown("headrace"))
def test_the_options_that_the_pages_show_exist(line: str) -> None:
    command = _known().get(key(line), _app())
    options = {option for parameter in command.params for option in parameter.opts}
    assert set(re.findall(r"\s(--?[a-z][a-z-]*)", line)) - {"--help"} <= options | {"--new-tenant"}


def test_every_target_of_make_is_run_by_another_or_by_a_test() -> None:
    assert {line.split()[1] for line in shown("make")} <= targets()
    assert targets() == set(MAKE)
    makefile = (ROOT / "Makefile").read_text()
    for target, runs in MAKE.items():
        if runs.startswith("tests/"):
            called = rf'(make|given)\("{target}"'
            assert re.search(called, (ROOT / runs).read_text()), f"{runs} does not run `make {target}`"
        elif runs != "itself":
            recipe = re.search(rf"^{runs}:.*\n(?:\t.*\n)+", makefile, re.MULTILINE)
            assert recipe is not None
            assert re.search(rf"\b{target}\b", re.sub(r"##.*", "", recipe[0]).partition(":")[2]), (target, runs)


def test_every_other_command_says_what_runs_it() -> None:
    lines = [line for line in commands() if not line.startswith(("headrace ", "make "))]
    asked = {next((name for name in OTHERS if line.startswith(name)), line) for line in lines}
    assert asked == set(OTHERS)
    for command, runs in OTHERS.items():
        where = runs.partition(":")[0]
        if where.startswith("tests/"):
            assert (ROOT / where).is_file()
        elif where == "bench":
            assert command.rpartition(".")[2] in measured()
