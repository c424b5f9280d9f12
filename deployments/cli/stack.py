"""`headrace up`, `down` and `demo`: the stack on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer
from rich.markup import escape

from headrace.deployments.cli.open import data_dir_option
from headrace.deployments.cli.output import note, out
from headrace.deployments.extras import require
from headrace.deployments.stack.layout import DEFAULT_DATA_DIR, Layout
from headrace.deployments.stack.options import StackOptions
from headrace.deployments.stack.state import StackState

DataDir = Annotated[Path, typer.Option("--data-dir", envvar="HEADRACE_DATA_DIR", help="The stack's data folder.")]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="The API's port; 0 picks a free one.")]
PrefectPort = Annotated[
    int, typer.Option("--prefect-port", min=0, max=65535, help="Prefect's port on this machine; 0 picks a free one.")
]


def up(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    port: Port = 8000,
    prefect_port: PrefectPort = 4200,
    host: Annotated[
        str, typer.Option(help="The address the API listens on; Prefect stays on 127.0.0.1.")
    ] = "127.0.0.1",
    detach: Annotated[bool, typer.Option("--detach", help="Return once all is ready; stop it with `down`.")] = False,
) -> None:
    """Start PostgreSQL, Prefect, a worker and the API, and run them until Ctrl-C.

    HEADRACE_DATABASE_URL uses a PostgreSQL of yours instead of the embedded one.
    """
    require("local", "`headrace up`")
    options = stack_options(data_dir, host=host, port=port, prefect_port=prefect_port)
    _warn_of_ignored_settings()
    if detach:
        from headrace.deployments.stack.detached import start_detached

        state = start_detached(options, _progress)
        _where(state, data_dir)
        return
    from headrace.deployments.stack.supervisor import run_stack

    def ready(state: StackState) -> None:
        _where(state, data_dir)
        out.print("Ctrl-C stops it")

    run_stack(options, _progress, ready)
    out.print("stopped")


def down(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Stop the stack that runs on the data folder."""
    require("local", "`headrace down`")
    from headrace.deployments.stack.detached import stop_detached

    root = Layout.of(data_dir).root
    out.print(f"stopped the stack on {root}" if stop_detached(Layout.of(data_dir)) else f"no stack runs on {root}")


def demo(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    port: Port = 8000,
    prefect_port: PrefectPort = 4200,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stack running that the demo started.")] = False,
) -> None:
    """Load the flights of New York 2013 with a pipeline made over REST, and check every count against the source.

    Uses the stack on the data folder, and starts one for as long as it takes when there is none: on these ports if they
    are free, on others if not.
    """
    require("local", "`headrace demo`")
    require("demo", "`headrace demo`")
    from headrace.deployments.demo.command import run_demo
    from headrace.deployments.stack.ports import free_or_any

    host = "127.0.0.1"
    ports = {"port": free_or_any(host, port), "prefect_port": free_or_any(host, prefect_port)}
    options = stack_options(data_dir, host=host, **ports)
    _warn_of_ignored_settings()
    raise typer.Exit(run_demo(options, keep=keep, console=out))


def stack_options(data_dir: Path, *, host: str, port: int, prefect_port: int) -> StackOptions:
    """The options of a stack, with the settings of the environment."""
    files_root = os.environ.get("HEADRACE_FILES_ROOT")
    return StackOptions(
        data_dir=data_dir.expanduser().resolve(),
        host=host,
        port=port,
        prefect_port=prefect_port,
        database_url=os.environ.get("HEADRACE_DATABASE_URL") or None,
        prefect_database_url=os.environ.get("HEADRACE_PREFECT_DATABASE_URL") or None,
        owner_database_url=os.environ.get("HEADRACE_OWNER_DATABASE_URL") or None,
        run_database_url=os.environ.get("HEADRACE_RUN_DATABASE_URL") or None,
        tenant_login_key=os.environ.get("HEADRACE_TENANT_LOGIN_KEY") or None,
        files_root=Path(files_root).expanduser().resolve() if files_root else None,
    )


def _warn_of_ignored_settings() -> None:
    from headrace.deployments.stack.environment import ignored_settings

    for sentence in ignored_settings(os.environ):
        note(sentence)


def _progress(text: str) -> None:
    out.print(escape(text), style="dim")


def _where(state: StackState, data_dir: Path) -> None:
    base = state.api_url.removesuffix("/api/v1")
    out.print(f"API         [bold]{state.api_url}[/bold]   docs {base}/docs")
    out.print(f"Console     {base}/   sign in: headrace open{data_dir_option(data_dir)}")
    out.print(f"Prefect UI  {state.prefect_url}   sign in: headrace open prefect{data_dir_option(data_dir)}")
    # not the URL: it contains a password, and terminals are visible and recorded
    out.print(f'Database    psql "$(jq -r .databaseUrl {quote(str(Layout.of(data_dir).state))})"')
    out.print(f"Addresses and the API key: {Layout.of(data_dir).state}")
