"""Installs packages as `pip install` does with the same arguments, into this environment or that of `--python PATH`:
`python install.py --requirement requirements.lock`.

uv does it in a tenth of pip's time. pip does it where uv is not installed, where it fails, and where pip has settings
that uv has no equivalent for.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping

_SEPARATORS = {
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "constraint": ("UV_CONSTRAINT", " "),
    "trusted-host": ("UV_INSECURE_HOST", " "),
}
"""Settings of pip with several values: uv's variable, and what separates the values in it."""

_SINGLE = {
    "index-url": "UV_DEFAULT_INDEX",
    "cert": "SSL_CERT_FILE",
    "no-index": "UV_NO_INDEX",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "retries": "UV_HTTP_RETRIES",
}
"""Settings of pip with one value, and uv's variable."""

_WITHOUT_EFFECT = {
    *("cache-dir", "no-cache-dir", "no-input", "progress-bar", "no-color", "quiet", "verbose", "log"),
    *("disable-pip-version-check", "root-user-action", "no-warn-script-location", "no-python-version-warning"),
    *("require-virtualenv", "compile", "no-compile", "config-file"),
}
"""Settings of pip that do not change which packages are installed."""


def uv_variables(pip_settings: Mapping[str, str]) -> dict[str, str] | None:
    """The environment variables that make uv look for packages where pip does, or None where that cannot be said.
    `pip_settings` are those that `pip config list` prints: `global.index-url`, `install.index-url`, `:env:.index-url`.
    """
    effective: dict[str, str] = {}
    for section in ("global.", "install.", ":env:."):  # the later ones win
        found = {name.removeprefix(section): value for name, value in pip_settings.items() if name.startswith(section)}
        effective |= found
    variables: dict[str, str] = {}
    for name, value in effective.items():
        if name in _SINGLE:
            variables[_SINGLE[name]] = value
        elif name in _SEPARATORS:
            variable, separator = _SEPARATORS[name]
            variables[variable] = separator.join(value.split())
        elif name not in _WITHOUT_EFFECT:
            return None
    return variables


def _pip_settings() -> dict[str, str]:
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    pairs = [line.partition("=") for line in listed.splitlines()]
    return {name: str(ast.literal_eval(value)) for name, _, value in pairs}


def _installed_by_uv(python: str, arguments: list[str]) -> bool:
    if not (importlib.util.find_spec("uv") and importlib.util.find_spec("pip")):
        return False
    variables = uv_variables(_pip_settings())
    if variables is None:
        return False
    fixed = {
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }  # the best of all indexes, as pip
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", python, *arguments]
    return subprocess.run(command, env={**variables, **fixed, **os.environ}, check=False).returncode == 0


def _installed_by_pip(python: str, arguments: list[str]) -> bool:
    if subprocess.run([python, "-c", "import pip"], capture_output=True, check=False).returncode:
        subprocess.run([python, "-m", "ensurepip", "--default-pip"], capture_output=True, check=True)
    return subprocess.run([python, "-m", "pip", "install", "--quiet", *arguments], check=False).returncode == 0


def main() -> int:
    """0 when the packages are installed, else 1."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--python", default=sys.executable)
    known, arguments = parser.parse_known_args()
    return 0 if _installed_by_uv(known.python, arguments) or _installed_by_pip(known.python, arguments) else 1


if __name__ == "__main__":
    sys.exit(main())
