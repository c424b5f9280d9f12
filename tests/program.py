"""The command `headrace` in this process: its exit code and what it prints, as a shell has them, without the second it
takes to start. For tests whose point is not that it is a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from unittest.mock import patch

from headrace.deployments.cli.app import main
from headrace.deployments.stack.environment import base_environment


def headrace_here(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`headrace` with these arguments and, of its settings, these alone."""
    kept = {name: value for name, value in base_environment().items() if not name.startswith("HEADRACE_")}
    out, err = StringIO(), StringIO()
    code: int | str | None = 0
    with (
        patch.dict(os.environ, kept | environment, clear=True),
        patch.object(sys, "argv", ["headrace", *arguments]),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    return subprocess.CompletedProcess(arguments, code if isinstance(code, int) else 0, out.getvalue(), err.getvalue())
