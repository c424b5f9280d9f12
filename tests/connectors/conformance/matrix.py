"""The formats and the places that are tried with each other, and a file of each format."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from headrace.ir.schema import Field, Schema

PLACES = ("local_fs", "s3", "gcs", "azure_blob", "sftp", "http_pull")
ROWS = 200
_DECLARED: Schema = (
    Field("id", "bigint"),
    Field("name", "text"),
    Field("amount", "decimal", precision=12, scale=2),
    Field("day", "date"),
)


@dataclass(frozen=True)
class Format:
    """A file by its name, and the settings of a source node that reads it."""

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    fields: Schema = _DECLARED


_WIDTHS = (8, 20, 12, 10)
_COLUMNS = [
    {"name": each.name, "start": 1 + sum(_WIDTHS[:place]), "width": _WIDTHS[place]}
    for place, each in enumerate(_DECLARED)
]

FORMATS = {
    "csv": Format("orders.csv"),
    "csv.gz": Format("orders.csv.gz"),
    "csv.zst": Format("orders.csv.zst"),
    "tsv": Format("orders.tsv"),
    "jsonl": Format("orders.jsonl"),
    "json": Format("orders.json"),
    "parquet": Format("orders.parquet", fields=()),
    "avro": Format("orders.avro", fields=()),
    "orc": Format("orders.orc", fields=()),
    "xml": Format("orders.xml", {"options": {"row": "order"}}),
    "excel": Format("orders.xlsx"),
    "fixed": Format("orders.txt", {"format": "fixed", "options": {"columns": _COLUMNS}}),
}


def content(of: Format, rows: int = ROWS) -> bytes:
    """A file of that format with orders."""
    frame = _orders(rows)
    suffix = of.name.partition(".")[2]
    return _WRITERS[suffix](frame)


def _orders(rows: int) -> pl.DataFrame:
    numbers = pl.int_range(1, rows + 1, eager=True).alias("id")
    return pl.select(
        numbers,
        ("customer " + (numbers % 17).cast(pl.String)).alias("name"),
        (numbers * 1.25).cast(pl.Decimal(12, 2)).alias("amount"),
        (pl.date(2024, 1, 1) + pl.duration(days=numbers % 300)).alias("day"),
    )


def _csv(frame: pl.DataFrame) -> bytes:
    return frame.write_csv().encode()


def _gzip(frame: pl.DataFrame) -> bytes:
    import gzip

    return gzip.compress(_csv(frame))


def _zstd(frame: pl.DataFrame) -> bytes:
    from headrace.connectors.files.compression.zstandard import zstd

    return bytes(zstd.compress(_csv(frame)))


def _records(frame: pl.DataFrame) -> list[dict[str, Any]]:
    return frame.with_columns(pl.col("amount", "day").cast(pl.String)).to_dicts()


def _written(method: str, **options: Any) -> Any:
    def write(frame: pl.DataFrame) -> bytes:
        made = io.BytesIO()
        getattr(frame, method)(made, **options)
        return made.getvalue()

    return write


def _avro(frame: pl.DataFrame) -> bytes:
    import fastavro

    schema = {
        "type": "record",
        "name": "order",
        "fields": [
            {"name": "id", "type": "long"},
            {"name": "name", "type": "string"},
            {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}},
            {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        ],
    }
    made = io.BytesIO()
    fastavro.writer(made, schema, frame.to_dicts(), sync_interval=500)
    return made.getvalue()


def _orc(frame: pl.DataFrame) -> bytes:
    import pyarrow as pa
    from pyarrow import orc

    made = io.BytesIO()
    table = frame.to_arrow()
    types = {"name": pa.string(), "amount": pa.decimal128(12, 2)}
    schema = pa.schema([field.with_type(types.get(field.name, field.type)) for field in table.schema])
    orc.write_table(table.cast(schema), made)
    return made.getvalue()


def _xml(frame: pl.DataFrame) -> bytes:
    rows = "".join(
        "<order>" + "".join(f"<{name}>{value}</{name}>" for name, value in row.items()) + "</order>"
        for row in _records(frame)
    )
    return f"<orders>{rows}</orders>".encode()


def _excel(frame: pl.DataFrame) -> bytes:
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(frame.columns)
    for row in frame.with_columns(pl.col("amount").cast(pl.Float64)).rows():
        sheet.append(row)
    made = io.BytesIO()
    book.save(made)
    return made.getvalue()


def _fixed(frame: pl.DataFrame) -> bytes:
    lines = [
        "".join(str(value).ljust(width) for value, width in zip(row, _WIDTHS, strict=True)) for row in frame.rows()
    ]
    return ("\n".join(lines) + "\n").encode()


_WRITERS = {
    "csv": _csv,
    "csv.gz": _gzip,
    "csv.zst": _zstd,
    "tsv": lambda frame: frame.write_csv(separator="\t").encode(),
    "jsonl": lambda frame: "\n".join(json.dumps(row) for row in _records(frame)).encode() + b"\n",
    "json": lambda frame: json.dumps(_records(frame)).encode(),
    "parquet": _written("write_parquet", row_group_size=70),
    "avro": _avro,
    "orc": _orc,
    "xml": _xml,
    "xlsx": _excel,
    "txt": _fixed,
}
