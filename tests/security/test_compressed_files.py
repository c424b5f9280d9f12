"""A small file that unpacks to a huge one neither fills memory nor disks nor keeps a worker busy for long."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import resource
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from backports import zstd

from headrace.connectors.errors import SourceError
from headrace.connectors.files.avro.container import written
from headrace.connectors.files.compression.reading import ExpansionLimits, open_compressed
from headrace.connectors.files.compression.spooled import spooled
from headrace.connectors.files.local.local_fs import local_files

STEP = (b"a" * 1023 + b"\n") * 1024
SIZE = 140
"""Megabytes, of which 128 may come out of anything."""


def gzipped(path: Path) -> None:
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.writelines(STEP for _ in range(SIZE))


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.csv", "w") as file:
        file.writelines(STEP for _ in range(SIZE))


def bzipped(path: Path) -> None:
    with bz2.open(path, "wb") as file:
        file.writelines(STEP for _ in range(SIZE))


def xzipped(path: Path) -> None:
    with lzma.open(path, "wb", preset=0) as file:
        file.writelines(STEP for _ in range(SIZE))


def zstandard(path: Path) -> None:
    with zstd.open(path, "wb") as file:
        file.writelines(STEP for _ in range(SIZE))


MAKERS: dict[str, Callable[[Path], None]] = {
    "gz": gzipped,
    "zip": zipped,
    "bz2": bzipped,
    "xz": xzipped,
    "zst": zstandard,
}


@pytest.fixture
def memory() -> Iterator[None]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 250 << 10


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize(
    ("form", "suffix"),
    [
        *(("csv", suffix) for suffix in MAKERS),
        *((form, "gz") for form in ("jsonl", "json", "parquet", "avro", "orc", "xml", "xlsx")),
    ],
)
def test_a_bomb_is_reported_before_it_goes_off(tmp_path: Path, form: str, suffix: str) -> None:
    path = tmp_path / f"data.{form}.{suffix}"
    MAKERS[suffix](path)
    options = {"row": "o"} if form == "xml" else {}
    with pytest.raises(SourceError) as caught:
        local_files({"path": path.name, "options": options}, files_root=tmp_path).discover(max_partitions=1)
    assert caught.value.code in ("too_large", "record_too_large", "bad_xml", "no_array", "not_json")
    assert path.name in str(caught.value)


@pytest.mark.parametrize("bounds", [ExpansionLimits(size=10 << 20), ExpansionLimits(ratio=10, free=1 << 20)])
@pytest.mark.parametrize("suffix", ["gz", "zip"])
def test_both_bounds_hold_for_copies_too(tmp_path: Path, suffix: str, bounds: ExpansionLimits) -> None:
    path = tmp_path / f"data.{suffix}"
    MAKERS[suffix](path)
    kind = {"gz": "gzip", "zip": "zip"}[suffix]
    with pytest.raises(SourceError, match="unpack"), spooled(path, kind, bounds=bounds):
        pass
    content = open_compressed(path, kind, bounds=bounds)
    blocks = iter(lambda: len(content.read(1 << 20)), 0)
    with pytest.raises(SourceError, match="unpack"):
        assert sum(blocks) < SIZE << 20


def test_an_archive_in_an_archive_is_not_opened(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("a.csv", "a\n1\n")
    with zipfile.ZipFile(tmp_path / "data.csv.zip", "w") as archive:
        archive.writestr("b.zip", inner.getvalue())
    with pytest.raises(SourceError):
        local_files({"path": "data.csv.zip"}, files_root=tmp_path).discover(max_partitions=1)


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize("deep", [True, False])
def test_entities_of_xml_are_not_replaced_and_nothing_outside_is_read(tmp_path: Path, deep: bool) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    laughs = "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(9))
    declared = f'<!ENTITY e0 "ha">{laughs}' if deep else f'<!ENTITY e9 SYSTEM "file://{tmp_path}/secret.txt">'
    (tmp_path / "data.xml").write_text(f"<!DOCTYPE r [{declared}]><r><o><v>&e9;</v></o></r>")
    with pytest.raises(SourceError) as caught:
        local_files({"path": "data.xml", "options": {"row": "o"}}, files_root=tmp_path).discover(max_partitions=1)
    assert caught.value.code == "bad_xml"
    (tmp_path / "data.xml").write_text('<!DOCTYPE r SYSTEM "http://127.0.0.1:9/x.dtd"><r><o><v>1</v></o></r>')
    files = local_files({"path": "data.xml", "options": {"row": "o"}}, files_root=tmp_path)
    assert files.discover(max_partitions=1).total_rows == 1


@pytest.mark.usefixtures("memory")
def test_a_workbook_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    zipped(tmp_path / "data.xlsx")
    with pytest.raises(SourceError, match="unpacks to more"):
        local_files({"path": "data.xlsx"}, files_root=tmp_path).discover(max_partitions=1)


@pytest.mark.usefixtures("memory")
def test_a_block_of_avro_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = b"".join(packer.compress(b"\0" * (1 << 20)) for _ in range(300)) + packer.flush()
    schema = b'{"type":"record","name":"r","fields":[{"name":"v","type":"long"}]}'
    head = b"Obj\x01" + b"\x04\x16avro.schema" + written(len(schema)) + schema
    head += b"\x14avro.codec\x0edeflate\x00" + b"s" * 16
    block = written(300 << 20) + written(len(bomb)) + bomb + b"s" * 16
    (tmp_path / "data.avro").write_bytes(head + block)
    files = local_files({"path": "data.avro"}, files_root=tmp_path)
    found = files.discover(max_partitions=1)
    with pytest.raises(SourceError, match="unpacks to more than 64 MB"):
        list(files.read(found.partitions[0], found.schema))
