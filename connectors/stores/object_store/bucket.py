"""Operations on the objects of a bucket, over obstore."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from headrace.connectors.errors import SourceError
from headrace.connectors.files.local.safe_open import path_of_fd
from headrace.connectors.network.egress_proxy import EgressProxy
from headrace.connectors.stores.downloads import ConnectionCut, download_ranges
from headrace.connectors.stores.file_copies import unnamed_file
from headrace.connectors.stores.object_store.refusals import HINTS, NO_PLACE, client_message, element
from headrace.ir.redaction import redact

if TYPE_CHECKING:
    from obstore.store import ObjectStore

T = TypeVar("T")

COPIED_AT_ONCE = 5 << 30

_PAUSES_S = (0.1, 0.5, 2.0)

_BROKE_OFF = ("body error", "response body", "error decoding")

_SMALL = 16 << 20
"""Limit for the small text objects that Headrace writes."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """Metadata of an object; `tag` changes whenever it is written."""

    path: str
    size: int
    mtime: float
    tag: str


class AlreadyExists(Exception):
    """An object of that name already exists."""


class ObjectGone(FileNotFoundError):
    """There is no object of that name (any more)."""


class ObjectChanged(Exception):
    """The object is not the expected version."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """The objects of a bucket below a prefix. All methods raise SourceError. `place` names the bucket in messages."""

    client: ObjectStore
    place: str
    relay: EgressProxy | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def head(self, path: str) -> ObjectInfo | None:
        """The object's metadata, or None."""
        import obstore

        def asked() -> ObjectInfo | None:
            try:
                return _object_info(obstore.head(self.client, path))
            except FileNotFoundError as error:
                _raise_if_no_bucket(error)
                return None

        return self._read(path, asked)

    def listing(self, folder: str) -> tuple[list[ObjectInfo], list[str]]:
        """The objects directly in a folder, and the names of its subfolders."""
        import obstore

        def asked() -> tuple[list[ObjectInfo], list[str]]:
            found = obstore.list_with_delimiter(self.client, folder or None)
            folders = [each.rstrip("/").rpartition("/")[2] for each in found["common_prefixes"]]
            # an empty object that ends in `/` represents the folder itself
            return [_object_info(each) for each in found["objects"] if each["path"] != folder], sorted(folders)

        return self._read(folder or "/", asked)

    def under(self, folder: str, *, most: int | None = None) -> list[ObjectInfo]:
        """All objects below a folder, at any depth; stops after about `most`."""
        import obstore

        def asked() -> list[ObjectInfo]:
            taken: list[ObjectInfo] = []
            for page in obstore.list(self.client, folder or None, chunk_size=most or 1000):
                taken += map(_object_info, page)
                if most is not None and len(taken) >= most:
                    break
            return taken

        return self._read(folder or "/", asked)

    def range(self, path: str, start: int, end: int, tag: str) -> memoryview:
        """The bytes from `start` to `end` of exactly that version. Raises Cut, Changed."""
        import obstore
        from obstore.exceptions import PreconditionError

        with self._translating_errors(path):
            try:
                got = obstore.get(self.client, path, options={"range": (start, end), "if_match": f'"{tag}"'})
            except (PreconditionError, FileNotFoundError):
                raise ObjectChanged(path) from None
            if (got.meta["e_tag"] or "").strip('"') not in (tag, ""):  # for servers that ignore conditions
                raise ObjectChanged(path)
            try:
                # servers without ranges return something else
                if got.range != (start, end):
                    raise SourceError(
                        "not_readable",
                        f"{self.place} gives no ranges of '{path}'.",
                        "Its server must support range requests.",
                    )
                return memoryview(got.bytes())
            except OSError as error:
                raise ConnectionCut("the answer broke off") from error
            except Exception as error:
                if type(error).__module__.startswith("obstore"):
                    raise ConnectionCut("the answer broke off") from None
                raise

    def text(self, path: str) -> str | None:
        """A small text, or None."""
        import obstore

        def asked() -> str | None:
            try:
                got = obstore.get(self.client, path)
                if got.meta["size"] > _SMALL:
                    size = got.meta["size"]
                    raise SourceError("bad_record", f"'{path}' has {size:,} bytes: it is not one of Headrace's.")
                return bytes(got.bytes()).decode(errors="replace")
            except FileNotFoundError as error:
                _raise_if_no_bucket(error)
                return None

        return self._read(path, asked)

    def put(self, path: str, text: str) -> None:
        """Replaces a small text atomically."""
        import obstore

        with self._translating_errors(path, "not_movable"):
            obstore.put(self.client, path, text.encode())

    def put_new(self, path: str, text: str) -> None:
        """Creates a small text. Raises Taken if it exists: of several callers one succeeds."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        with self._translating_errors(path, "not_movable"):
            try:
                obstore.put(self.client, path, text.encode(), mode="create")
            except (AlreadyExistsError, FileExistsError):
                raise AlreadyExists(path) from None

    def copy(self, path: str, to: str, *, size: int, over: bool) -> None:
        """Copies an object within the bucket. Raises Gone, and Taken if `to` exists and `over` is false."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        with self._translating_errors(path, "not_movable"):
            try:
                if size > COPIED_AT_ONCE:  # larger than a server-side copy allows
                    if not over and self.head(to) is not None:
                        raise AlreadyExists(to)
                    self._carried(path, to, size)
                else:
                    obstore.copy(self.client, path, to, overwrite=over)
            except (AlreadyExistsError, FileExistsError):
                raise AlreadyExists(to) from None
            except FileNotFoundError as error:
                _raise_if_no_bucket(error)
                raise ObjectGone(path) from None

    def _carried(self, path: str, to: str, size: int) -> None:
        """Copies through this machine."""
        import obstore

        found = self.head(path)
        if found is None or found.size != size:
            raise ObjectGone(path)
        into = unnamed_file(None)
        try:
            download_ranges(size, into, lambda start, end: self.range(path, start, end, found.tag))
            obstore.put(self.client, to, path_of_fd(into))
        except ObjectChanged:
            raise ObjectGone(path) from None
        finally:
            os.close(into)

    def delete(self, path: str) -> None:
        """Deletes an object if it exists."""
        import obstore

        with self._translating_errors(path, "not_movable"):
            try:
                obstore.delete(self.client, path)
            except FileNotFoundError:
                return

    def _read(self, path: str, asked: Callable[[], T]) -> T:
        """Calls `asked`, and again if the response was cut off, which the client does not retry itself."""
        with self._translating_errors(path):
            for pause in _PAUSES_S:
                try:
                    return asked()
                except Exception as error:
                    if not any(sign in str(error) for sign in _BROKE_OFF):
                        raise
                    time.sleep(pause)
            return asked()

    @contextmanager
    def _translating_errors(self, path: str, code: str = "not_readable") -> Iterator[None]:
        """Turns the client's errors into SourceError, without its dump of the request."""
        try:
            yield
        except (SourceError, ConnectionCut, ObjectChanged, AlreadyExists, ObjectGone):
            raise
        except BaseException as error:
            kind = type(error)
            if kind.__name__ != "PanicException" and not isinstance(error, Exception):
                raise
            if isinstance(error, Exception) and not (
                kind.__module__.startswith("obstore") or isinstance(error, OSError | ValueError)
            ):
                raise
            raise self.refused(path, str(error), code) from None

    def refused(self, path: str, said: str, code: str) -> SourceError:
        """The error for an answer of the server or an error of the client."""
        found, detail = (element(said, tag) for tag in ("Code", "Message"))
        reason = f"{found} ({detail})" if detail and found else found or detail or client_message(said)
        for signs, (own, remedy) in HINTS.items():
            if any(sign in said for sign in signs):
                code, hint = own or code, remedy
                break
        else:
            hint = "Check that the server answers, and the connector's endpoint and credentials."
        return SourceError(code, redact(f"'{path}' in {self.place}: {reason}.", list(self.secrets)), hint)


def _object_info(meta: Any) -> ObjectInfo:
    mtime = meta["last_modified"].timestamp()
    tag = (meta["e_tag"] or f"{mtime}").strip('"')  # missing in the listings of some stores
    return ObjectInfo(meta["path"], meta["size"], mtime, tag)


def _raise_if_no_bucket(error: Exception) -> None:
    """Raises ValueError if the bucket, not the object, is missing."""
    if any(sign in str(error) for sign in NO_PLACE):
        raise ValueError(str(error)) from None
