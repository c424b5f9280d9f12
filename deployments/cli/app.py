"""The command `headrace`. Exit codes: 0 success, 1 failure (with a message), 2 wrong usage, 3 success that needs
attention (a dry run found changes, a run rejected rows), 130 interrupted."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from headrace.deployments.cli.agents import mcp
from headrace.deployments.cli.apply.command import apply, export
from headrace.deployments.cli.connectors import connectors
from headrace.deployments.cli.cursors import cursors
from headrace.deployments.cli.database import database
from headrace.deployments.cli.doctor.command import doctor
from headrace.deployments.cli.help_text import unwrap_help
from headrace.deployments.cli.keys.accept_audit_log import accept_audit_log
from headrace.deployments.cli.keys.api_keys import keys
from headrace.deployments.cli.keys.rotate_encryption import rotate_encryption
from headrace.deployments.cli.logs import logs
from headrace.deployments.cli.offline import init, validate
from headrace.deployments.cli.open import open_page
from headrace.deployments.cli.output import err, out, print_error
from headrace.deployments.cli.plans import plan, preview
from headrace.deployments.cli.run_errors import errors
from headrace.deployments.cli.runs import cancel, retry, run, runs
from headrace.deployments.cli.services import serve, worker
from headrace.deployments.cli.stack import demo, down, up
from headrace.deployments.cli.versions import diff, pause, publish, resume, versions
from headrace.deployments.errors import HeadraceError
from headrace.deployments.extras import missing_extra_error
from headrace.deployments.stack.process import forbid_core_dumps

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Data pipelines as typed documents, run by Prefect, loaded exactly once into PostgreSQL.",
)
app.add_typer(database, name="db")
keys.command("rotate-encryption")(rotate_encryption)
keys.command("accept-audit-log")(accept_audit_log)
app.add_typer(keys, name="keys")
app.add_typer(connectors, name="connectors")
app.command("open")(open_page)
for command in (
    *(init, validate, apply, export, plan, preview, run, runs, logs, errors, retry, cancel),
    *(cursors, versions, diff, publish, pause, resume, doctor, serve, up, down, worker, demo, mcp),
):
    app.command()(command)
unwrap_help(app)


def main() -> None:
    """The console script. Errors that a user can act on are printed as a message, without a traceback."""
    forbid_core_dumps()
    try:
        app()
    except (HeadraceError, ModuleNotFoundError) as error:
        shown = missing_extra_error(error) if isinstance(error, ModuleNotFoundError) else error
        if shown is None:
            raise
        print_error(shown, as_json="--json" in sys.argv)
        sys.exit(1)
    except KeyboardInterrupt:
        err.print("Interrupted")
        sys.exit(130)


def _print_version(wanted: bool) -> None:
    if wanted:
        try:
            number = version("headrace")
        except PackageNotFoundError:
            number = "(from a checkout)"
        out.print(f"headrace {number}")
        raise typer.Exit


@app.callback()
def _options(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """The options before a command."""


if __name__ == "__main__":
    main()
