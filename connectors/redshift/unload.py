"""UNLOAD to S3 as Parquet: the statement, the files that its manifest names, and their removal.

Each UNLOAD has its own folder. Its files count only if the manifest, each file's size and the server's count
agree. UNLOAD takes nothing but a SELECT, and functions of Redshift's cannot write; it runs outside of a read-only
transaction, of which AWS does not say that it may be in one.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from headrace.connectors.errors import SourceError
from headrace.connectors.redshift.login import Access
from headrace.connectors.redshift.session import session
from headrace.connectors.redshift.types import text_literal
from headrace.connectors.specs.databases import Redshift
from headrace.connectors.stores.object_store.bucket import Bucket

LEFT_SECONDS = 72 * 3600
"""The age in seconds at which folders of dead runs are removed; until then a retry may need them."""
_FILE_MB = 256
_FOLDER = re.compile(r"headrace-([0-9]{9,12})-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Unloaded:
    """One file: its name below the folder, its number of rows, its size in bytes."""

    name: str
    rows: int
    size: int


def unload_statement(select: str, place: Redshift, folder: str) -> str:
    """The UNLOAD statement for a folder, with the SELECT as a literal."""
    assert place.unload_to is not None
    role = "DEFAULT" if place.unload_role == "default" else text_literal(str(place.unload_role))
    to = text_literal(f"{place.unload_to.rstrip('/')}/{folder}/")
    return (
        f"UNLOAD ({text_literal(select)}) TO {to} IAM_ROLE {role} FORMAT AS PARQUET MANIFEST VERBOSE"
        f" REGION AS {text_literal(str(place.region))} MAXFILESIZE AS {_FILE_MB} MB"
    )


def unload(
    access: Access, place: Redshift, bucket: Bucket, select: str, what: str, *, seconds: float, cased: bool
) -> tuple[str, list[Unloaded]]:
    """Unloads the rows of a SELECT; returns the folder and its files in order. Raises SourceError after removing the
    files."""
    folder = f"headrace-{int(time.time())}-{uuid4().hex[:12]}"
    try:
        with session(access, what, seconds=seconds, cased=cased, writes_files=True) as unloading:
            try:
                unloading.run(unload_statement(select, place, folder))
            except SourceError as error:
                if error.code == "query_failed":
                    remedy = (
                        f"May '{place.unload_role}' write to {place.unload_to}? The bucket must be in {place.region}."
                    )
                    raise SourceError(error.code, error.message, error.hint or remedy) from None
                raise
            count = int(unloading.of("SELECT pg_last_unload_count()")[0][0])
        return folder, _listed(bucket, place, folder, what, count)
    except BaseException:
        remove(bucket, folder)
        raise


def _listed(bucket: Bucket, place: Redshift, folder: str, what: str, count: int) -> list[Unloaded]:
    text = bucket.text(f"{folder}/manifest")
    if text is None:
        if count == 0:
            return []
        raise _differs(what, "there is no manifest")
    there = {each.path: each.size for each in bucket.under(folder)}
    files = []
    try:
        entries = json.loads(text)["entries"]
        for entry in entries:
            files.append(_checked(entry, place, folder, what, there))
    except (ValueError, KeyError, TypeError):
        raise _differs(what, "its manifest is invalid") from None
    if sum(each.rows for each in files) != count:
        raise _differs(what, f"its manifest has {sum(each.rows for each in files):,} rows of {count:,}")
    return sorted(files, key=lambda each: each.name)


def _checked(entry: Mapping[str, Any], place: Redshift, folder: str, what: str, there: Mapping[str, int]) -> Unloaded:
    start = f"{str(place.unload_to).rstrip('/')}/{folder}/"
    url, size = str(entry["url"]), int(entry["meta"]["content_length"])
    name = url.removeprefix(start)
    if not url.startswith(start) or "/" in name or not name:
        raise _differs(what, f"its manifest names {url[:200]}")
    if there.get(f"{folder}/{name}") != size:
        raise _differs(what, f"{name} is not there with {size:,} bytes")
    return Unloaded(name, int(entry["meta"]["record_count"]), size)


def remove(bucket: Bucket, folder: str) -> None:
    """Removes an UNLOAD folder; files that cannot be removed are left for `sweep`."""
    if not _FOLDER.fullmatch(folder):
        return
    with suppress(SourceError):
        for each in bucket.under(folder):
            bucket.delete(each.path)


def sweep(bucket: Bucket) -> None:
    """Removes the folders of dead runs."""
    with suppress(SourceError):
        for folder in bucket.listing("")[1]:
            found = _FOLDER.fullmatch(folder)
            if found is not None and time.time() - int(found[1]) > LEFT_SECONDS:
                remove(bucket, folder)


def _differs(what: str, how: str) -> SourceError:
    return SourceError("unload_failed", f"The unloaded files of {what} are incomplete: {how}.", "Start a new run.")
