"""`.ci/install.py`, by which `make` and the doubles of tests install packages."""

from __future__ import annotations

import importlib.util
import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import distributions
from pathlib import Path
from zipfile import ZipFile

import pytest

INSTALL = Path(__file__).parents[2] / ".ci" / "install.py"
uv_variables = runpy.run_path(str(INSTALL))["uv_variables"]
TAKEN_BY_UV = importlib.util.find_spec("uv") is not None and importlib.util.find_spec("pip") is not None


def test_uv_looks_where_pip_is_told_to_look() -> None:
    assert uv_variables(
        {
            "global.index-url": "https://of-the-site/simple",
            ":env:.index-url": "https://me:secret@mirror/simple",
            "global.extra-index-url": "\nfile:///one/simple\nfile:///two/simple",
            "install.find-links": "/wheels /more",
            "global.cert": "/etc/ssl/own.pem",
            "global.constraint": "/etc/pip/constraints.txt",
            "global.trusted-host": "mirror",
            "global.timeout": "60",
            "global.progress-bar": "off",
            "download.no-cache-dir": "true",
        }
    ) == {
        "UV_DEFAULT_INDEX": "https://me:secret@mirror/simple",
        "UV_INDEX": "file:///one/simple file:///two/simple",
        "UV_FIND_LINKS": "/wheels,/more",
        "SSL_CERT_FILE": "/etc/ssl/own.pem",
        "UV_CONSTRAINT": "/etc/pip/constraints.txt",
        "UV_INSECURE_HOST": "mirror",
        "UV_HTTP_TIMEOUT": "60",
    }


@pytest.mark.parametrize("name", ["proxy", "client-cert", "require-hashes", "only-binary", "user"])
def test_a_setting_that_uv_does_not_have_leaves_it_to_pip(name: str) -> None:
    assert uv_variables({"global.index-url": "https://mirror/simple", f":env:.{name}": "1"}) is None


@pytest.fixture
def installed(tmp_path: Path) -> Callable[..., str]:
    """Installs a package that is only where pip's settings say, into an environment without pip; who did it."""
    wheels, environment = tmp_path / "wheels", tmp_path / "environment"
    wheels.mkdir()
    info = "only_here-1.0.dist-info"
    with ZipFile(wheels / "only_here-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("only_here.py", "")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: only-here\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", f"only_here.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)

    def install(**settings: str) -> str:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
        given = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), **settings}
        command = [sys.executable, str(INSTALL), "--python", str(environment / "bin" / "python"), "only-here==1.0"]
        subprocess.run(command, env=kept | given, check=True)
        [site] = environment.glob("lib/python*/site-packages")
        [found] = [each for each in distributions(path=[str(site)]) if each.name == "only-here"]
        return (found.read_text("INSTALLER") or "").strip()

    return install


def test_a_package_comes_from_where_pip_is_told_to_look(installed: Callable[..., str]) -> None:
    assert installed() == ("uv" if TAKEN_BY_UV else "pip")


@pytest.mark.slow
def test_pip_installs_where_it_has_a_setting_that_uv_does_not_have(installed: Callable[..., str]) -> None:
    assert installed(PIP_PREFER_BINARY="1") == "pip"


@pytest.mark.slow
def test_pip_installs_where_uv_fails(installed: Callable[..., str]) -> None:
    assert installed(UV_CONFIG_FILE="/nowhere/uv.toml") == "pip"
