"""Opens a file that must not change from its listing to the end of reading."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from headrace.connectors.errors import SourceError
from headrace.connectors.files.selection import StoredFile
from headrace.connectors.files.store import FileStore, OpenedFile

_NOT_ITS_FAULT = (
    "file_not_found",
    "source_changed",
    "path_outside_root",
    "bad_path",
    "not_readable",
    "still_written",
    "not_installed",
    "bad_option",
    "unknown_encoding",
)


@contextmanager
def opened_unchanged(
    store: FileStore, name: str, changed: str, *, place: str, listed: StoredFile | None
) -> Iterator[OpenedFile]:
    """The file at `place`, which is `name` in errors. Raises SourceError: `changed` if it is not as it was `listed`,
    also instead of the reader's error."""
    missing = "file_not_found" if changed == "still_written" else changed
    with _blamed(name), store.opened(place, missing=missing) as opened:
        listed = listed or opened.file
        if not _as_listed(opened.file, listed):
            raise _changed(name, changed)
        try:
            yield opened
        except Exception as error:
            if not _as_listed(opened.now(), listed):
                raise _changed(name, changed) from error
            raise
        if not _as_listed(opened.now(), listed):
            raise _changed(name, changed)


@contextmanager
def _blamed(name: str) -> Iterator[None]:
    """Adds the file to errors, for the message and for moving the file to the failure folder."""
    try:
        yield
    except SourceError as error:
        located = error if name in error.message else SourceError(error.code, f"{name}: {error.message}", error.hint)
        located.file = name if error.code not in _NOT_ITS_FAULT else error.file
        raise located from None
    except OSError as error:
        if error.errno is None:  # a library's error about the file's content
            raise
        raise SourceError("not_readable", f"'{name}' cannot be read: {error.strerror}.") from error


def _as_listed(now: StoredFile, listed: StoredFile) -> bool:
    return (now.size, now.version) == (listed.size, listed.version)


def _changed(name: str, code: str) -> SourceError:
    if code == "still_written":
        hint = "Run again when it is complete, or let the run wait: config.settleSeconds, config.waitPolicy."
        return SourceError(code, f"'{name}' is still being written: it changed while it was inspected.", hint)
    return SourceError(code, f"'{name}' changed while the run read it.", "Start a new run when it is complete.")
