"""Compressed files are read like others; truncated, damaged and over-expanding files are errors."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd

from headrace.connectors.files.formats.csv import Csv
from tests.connectors.files.formats.reading import check_resuming, never_panics, refused, rows, source, texts


def zipped(content: bytes, *names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names or ("data.csv",):
            archive.writestr(name, content)
    return out.getvalue()


KINDS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gz", gzip.compress),
    "zstd": ("zst", lambda content: zstd.compress(content, options={zstd.CompressionParameter.checksum_flag: 1})),
    "bz2": ("bz2", bz2.compress),
    "xz": ("xz", lzma.compress),
    "zip": ("zip", zipped),
}
CSV = b"id,name\n" + b"".join(b"%d,\xc3\xa9 %d\n" % (n, n) for n in range(1000))
ROWS = [(n, f"é {n}") for n in range(1000)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffixed", [True, False])
def test_a_compressed_file_is_read_like_another(tmp_path: Path, kind: str, suffixed: bool) -> None:
    suffix, packed = KINDS[kind]
    path = tmp_path / (f"data.csv.{suffix}" if suffixed else "data.csv")
    path.write_bytes(packed(CSV))
    files = source(path, options={} if suffixed else {"compression": kind})
    assert rows(files) == ROWS
    check_resuming(files, 3)


def test_several_streams_in_one_file_and_padding(tmp_path: Path) -> None:
    path = tmp_path / "data.csv.gz"
    path.write_bytes(gzip.compress(CSV[:100]) + gzip.compress(CSV[100:]) + b"\0" * 100)
    assert rows(source(path)) == ROWS


def test_what_is_compressed_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "data.csv.gz"
    path.write_bytes(gzip.compress("id,name\n1,é\n".encode("utf-16")))
    assert rows(source(path, options={"encoding": "utf-16"})) == [(1, "é")]
    assert refused(source(path)).code == "bad_encoding"


def test_columnar_files_may_be_compressed_once_more(tmp_path: Path) -> None:
    import polars as pl

    raw = io.BytesIO()
    pl.DataFrame({"n": range(10)}).write_parquet(raw)
    (tmp_path / "data.parquet.gz").write_bytes(gzip.compress(raw.getvalue()))
    files = source(tmp_path / "data.parquet.gz")
    assert rows(files) == [(n,) for n in range(10)]
    check_resuming(files, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_cut_off_or_damaged_says_so(tmp_path: Path, kind: str) -> None:
    suffix, packed = KINDS[kind]
    path = tmp_path / f"data.csv.{suffix}"
    whole = packed(CSV)
    path.write_bytes(whole[:-10])
    error = refused(source(path))
    assert (error.code, error.file) == ("bad_compression", path.name)
    for place in (len(whole) // 2, 2 * len(whole) // 3):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        assert refused(source(path)).code == "bad_compression"
    path.write_bytes(b"")
    assert refused(source(path)).code == "empty_file"


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_compressed_as_it_should_be(tmp_path: Path, kind: str) -> None:
    suffix, packed = KINDS[kind]
    (tmp_path / f"data.csv.{suffix}").write_bytes(CSV)
    assert refused(source(tmp_path / f"data.csv.{suffix}")).code == "bad_compression"
    (tmp_path / "data.csv").write_bytes(packed(CSV))
    assert f"Set options.compression to {kind}" in str(refused(source(tmp_path / "data.csv")))


@pytest.mark.parametrize("kind", [each for each in KINDS if each != "zip"])
def test_a_short_file_is_truncated_only_if_it_begins_as_its_kind(tmp_path: Path, kind: str) -> None:
    suffix, packed = KINDS[kind]
    path = tmp_path / f"data.csv.{suffix}"
    for text in (b"1", b"a,b", b"a,b\n1,2\n"):
        path.write_bytes(text)
        assert f"not compressed with {kind}" in str(refused(source(path)))
    for end in (1, 2, 5):
        path.write_bytes(packed(CSV)[:end])
        assert "truncated" in str(refused(source(path)))


def test_archives_of_several_files_name_them(tmp_path: Path) -> None:
    path = tmp_path / "data.csv.zip"
    path.write_bytes(zipped(CSV, "a.csv", "b.csv"))
    assert "2 files: a.csv, b.csv" in str(refused(source(path)))
    path.write_bytes(zipped(CSV, "a.csv", "__MACOSX/._a.csv"))
    assert rows(source(path)) == ROWS


def test_an_unknown_compression_names_those_that_are_known(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_bytes(CSV)
    assert "Use one of gzip, zstd" in str(refused(source(tmp_path / "data.csv", options={"compression": "lz4"})))


@pytest.mark.parametrize("kind", KINDS)
def test_every_cut_of_a_small_file_is_reported(tmp_path: Path, kind: str) -> None:
    suffix, packed = KINDS[kind]
    whole = packed(b"id,name\n1,x\n")
    for end in range(len(whole)):
        (tmp_path / f"data.csv.{suffix}").write_bytes(whole[:end])
        never_panics(tmp_path / f"data.csv.{suffix}")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_record_longer_than_a_chunk_is_whole(tmp_path: Path, encoding: str) -> None:
    long = "x" * (5 << 20)  # of more than one step of the stream, which ends where a chunk does
    text = f"a,b\n1,{long}\n2,y\n"
    (tmp_path / "data.csv.gz").write_bytes(gzip.compress(text.encode(encoding), 1))
    reader = Csv({"encoding": encoding}, chunk_bytes=1 << 20)
    assert rows(source(tmp_path / "data.csv.gz", *texts("a", "b"), formats={"csv": reader})) == [
        ("1", long),
        ("2", "y"),
    ]
