"""The command `headrace`. Exit codes: 0 done, 1 failed (the message says why), 2 wrong usage, 3 done with something to
look at (a dry run found changes, a run rejected rows), 130 interrupted."""

from __future__ import annotations

import os
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from deployments.commands import output
from deployments.commands.apply import apply, export
from deployments.commands.doctor import doctor
from deployments.commands.plans import plan, preview
from deployments.commands.runs import cancel, errors, retry, run, runs
from deployments.commands.serve import serve
from deployments.keys_command import keys
from deployments.rotate_encryption import rotate_encryption
from deployments.stack.errors import StackError
from deployments.stack.layout import DEFAULT_DATA_DIR, WORK_POOL, Layout
from deployments.stack.options import StackOptions
from deployments.stack.state import StackState

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Data pipelines as typed documents, run by Prefect, loaded exactly once into PostgreSQL.",
)
database = typer.Typer(no_args_is_help=True, help="The catalog's database.")
app.add_typer(database, name="db")
keys.command("rotate-encryption")(rotate_encryption)
app.add_typer(keys, name="keys")
for command in (apply, export, plan, preview, run, runs, errors, retry, cancel, doctor, serve):
    app.command()(command)

_out = Console(highlight=False, soft_wrap=True)
_err = Console(stderr=True, highlight=False, soft_wrap=True)

DataDir = Annotated[
    Path, typer.Option("--data-dir", envvar="HEADRACE_DATA_DIR", help="The folder everything of the stack lives in.")
]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="The API's port; 0 picks a free one.")]
PrefectPort = Annotated[
    int, typer.Option("--prefect-port", min=0, max=65535, help="Prefect's port on this machine; 0 picks a free one.")
]


def main() -> None:
    """The console script: errors a person can mend are a message, never a traceback."""
    try:
        app()
    except StackError as error:
        output.tell(error, as_json="--json" in sys.argv)
        sys.exit(1)
    except KeyboardInterrupt:
        _err.print("Interrupted")
        sys.exit(130)


def _print_version(wanted: bool) -> None:
    if wanted:
        try:
            number = version("headrace")
        except PackageNotFoundError:
            number = "(from a checkout)"
        _out.print(f"headrace {number}")
        raise typer.Exit


@app.callback()
def _options(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """The options before a command; `--version` is all there is."""


@app.command()
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
    options = stack_options(data_dir, host=host, port=port, prefect_port=prefect_port)
    if detach:
        from deployments.stack.detached import start_detached

        state = start_detached(options, _progress)
        _where(state, data_dir)
        return
    from deployments.stack.supervisor import run_stack

    def ready(state: StackState) -> None:
        _where(state, data_dir)
        _out.print("Ctrl-C stops it")

    run_stack(options, _progress, ready)
    _out.print("stopped")


@app.command()
def down(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Stop the stack that runs on the data folder."""
    from deployments.stack.detached import stop_detached

    root = Layout.of(data_dir).root
    _out.print(f"stopped the stack on {root}" if stop_detached(Layout.of(data_dir)) else f"no stack runs on {root}")


@database.command()
def upgrade(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    url: Annotated[
        str | None,
        typer.Option("--url", envvar="HEADRACE_DATABASE_URL", help="libpq URL; without it the running stack's."),
    ] = None,
) -> None:
    """Bring the catalog to the newest migration."""
    from sqlalchemy.exc import SQLAlchemyError

    from catalog.engine import current
    from catalog.engine import upgrade as migrate

    state = StackState.read(Layout.of(data_dir).state)
    address = url or (state.database_url if state is not None else None)
    if address is None:
        _fail("No database.", "Give --url or HEADRACE_DATABASE_URL, or start a stack with `headrace up`.")
    try:
        migrate(address)
        _out.print(f"the catalog is at {current(address)}")
    except SQLAlchemyError as error:
        _fail(f"The catalog could not be brought up to date: {error.__cause__ or error}")


@app.command()
def worker(
    pool: Annotated[str, typer.Option(envvar="HEADRACE_WORK_POOL", help="The Prefect work pool to serve.")] = WORK_POOL,
    name: Annotated[str | None, typer.Option(help="The worker's name in Prefect's UI.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many runs at a time.")] = None,
) -> None:
    """Run a worker: it takes runs of its pool and starts each in a forked process.

    Reads HEADRACE_DATABASE_URL, HEADRACE_KEY_PEPPER, HEADRACE_ENCRYPTION_KEYS, HEADRACE_FILES_ROOT and
    HEADRACE_PREFECT_API_URL (or PREFECT_API_URL), as `headrace up` sets them for its own.
    """
    environment = dict(os.environ)
    prefect_api_url = environment.get("PREFECT_API_URL") or environment.get("HEADRACE_PREFECT_API_URL")
    if not prefect_api_url:
        _fail("No Prefect to ask for runs.", "Set HEADRACE_PREFECT_API_URL, for example http://127.0.0.1:4200/api.")
    environment |= {"PREFECT_API_URL": prefect_api_url, "PYTHONSAFEPATH": "1"}
    arguments = [sys.executable, "-P", "-m", "deployments.worker", "--pool", pool]
    arguments += ["--name", name] if name is not None else []
    arguments += ["--limit", str(limit)] if limit is not None else []
    sys.stdout.flush()
    # A new interpreter instead of this one: its import path is safe and nothing is imported that a run does not need.
    os.execve(sys.executable, arguments, environment)  # noqa: S606


@app.command()
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
    from deployments.demo.command import run_demo
    from deployments.stack.ports import free_or_any

    host = "127.0.0.1"
    ports = {"port": free_or_any(host, port), "prefect_port": free_or_any(host, prefect_port)}
    options = stack_options(data_dir, host=host, **ports)
    raise typer.Exit(run_demo(options, keep=keep, console=_out))


def stack_options(data_dir: Path, *, host: str, port: int, prefect_port: int) -> StackOptions:
    """The options of a stack, completed by what the environment says."""
    files_root = os.environ.get("HEADRACE_FILES_ROOT")
    return StackOptions(
        data_dir=data_dir.expanduser().resolve(),
        host=host,
        port=port,
        prefect_port=prefect_port,
        database_url=os.environ.get("HEADRACE_DATABASE_URL") or None,
        prefect_database_url=os.environ.get("HEADRACE_PREFECT_DATABASE_URL") or None,
        files_root=Path(files_root).expanduser().resolve() if files_root else None,
    )


def _progress(text: str) -> None:
    _out.print(escape(text), style="dim")


def _where(state: StackState, data_dir: Path) -> None:
    base = state.api_url.removesuffix("/api/v1")
    _out.print(f"API         [bold]{state.api_url}[/bold]   docs {base}/docs")
    _out.print(f"Prefect UI  {state.prefect_url}")
    _out.print(f"Database    psql '{state.database_url}'")
    _out.print(f"Addresses and the API key: {Layout.of(data_dir).state}")


def _fail(message: str, hint: str = "") -> NoReturn:
    _err.print(f"[bold red]Error:[/bold red] {escape(message)}")
    if hint:
        _err.print(escape(hint))
    sys.exit(1)


if __name__ == "__main__":
    main()
