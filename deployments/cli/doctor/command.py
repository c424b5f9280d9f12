"""`headrace doctor`: checks everything that a run needs."""

from __future__ import annotations

import typer
from rich.markup import escape

from headrace.deployments.cli.options import ApiKey, DataDir, Json, Url
from headrace.deployments.cli.output import emit, out
from headrace.deployments.stack.layout import DEFAULT_DATA_DIR

_SIGNS = {"ok": "[green]ok[/green]     ", "warning": "[yellow]warning[/yellow]", "failed": "[red]failed[/red] "}


def doctor(
    url: Url = None, api_key: ApiKey = None, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False
) -> None:
    """Check versions, database, permissions, Prefect, worker, API, key and connectors, and say how to fix each.

    Looks at what HEADRACE_* variables name, else at the stack on --data-dir. Exit codes: 0 nothing failed, 1 something.
    """
    from headrace.deployments.cli.doctor.checks import all_findings, find_targets

    failed = False
    for finding in all_findings(find_targets(url, api_key, data_dir)):
        failed = failed or finding.verdict == "failed"
        if as_json:
            emit(finding.as_dict())
            continue
        out.print(f"{_SIGNS[finding.verdict]}  {finding.check:12}  {escape(finding.found)}")
        if finding.remedy:
            out.print(f"{'':23}{escape(finding.remedy)}", style="dim")
    if failed:
        raise typer.Exit(1)
