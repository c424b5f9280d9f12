"""The default set of files: one for each folder of a repository.

`--prune` deletes a set's objects that are no longer in its files, so two folders must not share a set by accident. In a
git checkout the name is derived from the remote and the path in the repository, and is the same in every clone and CI
job; elsewhere from the absolute path.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from configparser import ConfigParser
from configparser import Error as ConfigError
from hashlib import sha256
from pathlib import Path

LEGACY_SET = "default"
"""The set of all files that earlier releases applied."""

_SCHEME = re.compile(r"^[a-z+]+://")


def set_name_for(files: Sequence[Path]) -> str | None:
    """A name such as `pipelines-3fa2b1c0` for the folder or file, or the common folder of several; None for stdin."""
    if any(str(each) == "-" for each in files):
        return None
    paths = [os.path.realpath(each) for each in files]
    place = Path(os.path.commonpath(paths))
    identity = _in_repository(place) or str(place)
    name = identity.rstrip("/").rpartition("/")[2] or "files"
    readable = re.sub("[^A-Za-z0-9_.-]+", "-", name).strip("-")[:60] or "files"
    return f"{readable}-{sha256(identity.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"


def _in_repository(place: Path) -> str | None:
    """A path such as `github.com/shop/flows/pipelines`; None outside of a checkout or without a remote."""
    for folder in (place, *place.parents):
        if (folder / ".git").exists():
            remote = _remote(folder / ".git")
            inside = place.relative_to(folder).as_posix()
            return None if remote is None else remote if inside == "." else f"{remote}/{inside}"
    return None


def _remote(git: Path) -> str | None:
    """The URL of `origin` without scheme, login and suffix, so that it is equal for SSH and HTTPS."""
    try:
        if git.is_file():  # a worktree or a submodule: the file names the git folder
            git = (git.parent / git.read_text(encoding="utf-8").partition("gitdir:")[2].strip()).resolve()
            common = git / "commondir"
            git = (git / common.read_text(encoding="utf-8").strip()).resolve() if common.is_file() else git
        config = ConfigParser(strict=False, interpolation=None, allow_no_value=True)
        config.read(git / "config", encoding="utf-8")
        url = config.get('remote "origin"', "url", fallback=None)
    except (OSError, UnicodeDecodeError, ConfigError):
        return None
    if not url:
        return None
    if not _SCHEME.match(url) and ":" in url.partition("/")[0]:  # git@host:path
        url = url.replace(":", "/", 1)
    address = _SCHEME.sub("", url)
    host, slash, path = address.partition("/")
    host = re.sub(r":\d+$", "", host.rpartition("@")[2]).lower()
    return f"{host}{slash}{path}".rstrip("/").removesuffix(".git")
