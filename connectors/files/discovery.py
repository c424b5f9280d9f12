"""Lists the files and folders of a file store, and the columns of one of them.

One folder is listed at a time. A search text with a `/` searches in a folder: `2024/ord` are the files and folders in
`2024` with `ord` in their names, and `2024/` is the folder itself with all that is in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from headrace.connectors.connector import Context
from headrace.connectors.files.compression.kinds import inner_suffix
from headrace.connectors.files.formats import FORMATS, SUFFIXES
from headrace.connectors.files.paths import printable
from headrace.connectors.files.selection import StoredFile, is_temporary
from headrace.connectors.files.source import FileSource
from headrace.connectors.source import StreamFound

Open = Callable[[Context], FileSource]


def file_streams(open_source: Open) -> Callable[[Context, str], Sequence[StreamFound]]:
    """`Connector.streams` of a connector whose sources `open_source` opens."""

    def streams(context: Context, text: str) -> Sequence[StreamFound]:
        folder, slash, part = text.rpartition("/")
        source = open_source(replace(context, settings={"path": folder} if folder else {}, fields=()))
        files, folders = source.listing(), source.folders()
        found = [_folder(text)] if slash and folder and not part else []
        names = [name for name in folders if _shown(name, part)]
        found += [_folder(f"{folder}{slash}{name}/") for name in names]
        return found + [_file(f"{folder}{slash}{_last(file)}", file) for file in files if _shown(_last(file), part)]

    return streams


def file_stream(open_source: Open) -> Callable[[Context], StreamFound]:
    """`Connector.stream`: of a folder, the columns of its first file."""

    def stream(context: Context) -> StreamFound:
        name = str(context.settings.get("path") or "")
        first = {key: value for key, value in context.settings.items() if key != "ordering"}
        source = open_source(replace(context, settings=first, fields=()))
        found = source.discover(max_partitions=1)
        if name.endswith("/"):
            return replace(_folder(name), fields=found.schema, guessed=found.guessed)
        rows = found.total_rows if found.counted else None
        return replace(_file(name, source.listing()[0]), fields=found.schema, rows=rows, guessed=found.guessed)

    return stream


def format_of(name: str) -> str | None:
    """The format that a file of that name is read as; None if the name does not determine it."""
    suffix = inner_suffix(name) or "csv"
    form = SUFFIXES.get(suffix, suffix)
    return form if form in FORMATS else None


def _file(name: str, file: StoredFile) -> StreamFound:
    return StreamFound(name, {"path": name}, "file", size=file.size, format=format_of(name))


def _folder(name: str) -> StreamFound:
    return StreamFound(name, {"path": name, "ordering": "process_all"}, "folder")


def _last(file: StoredFile) -> str:
    return file.name.rpartition("/")[2]


def _shown(name: str, part: str) -> bool:
    return part.lower() in name.lower() and not is_temporary(name) and printable(name) == name
