"""Help texts from docstrings: paragraphs that the terminal wraps."""

from __future__ import annotations

import inspect

import typer


def unwrap_help(app: typer.Typer) -> None:
    """Gives each command of `app` and of its groups its docstring as help, one line per paragraph. Typer keeps the line
    breaks of a docstring, which are those of the source, and wraps the lines again at the terminal's width."""
    for command in app.registered_commands:
        if command.help is None and command.callback is not None:
            paragraphs = inspect.cleandoc(command.callback.__doc__ or "").split("\n\n")
            command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    for group in app.registered_groups:
        if group.typer_instance is not None:
            unwrap_help(group.typer_instance)
