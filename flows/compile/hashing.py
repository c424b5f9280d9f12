"""Hashes of text inside a plan, in hexadecimal; null for null. Vectorised by polars-hash, the same on every machine.

With a salt it is HMAC (RFC 2104), keyed by the salt: without the salt neither hashes nor values can be computed from
the other, and other systems can compute the same hashes with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from typing import cast

import polars as pl
import polars_hash as plh
import pyarrow as pa
from pydantic_core import PydanticCustomError

from headrace.flows.compile.scope import Scope
from headrace.ir.secrets import check_strength, secret_name

BETWEEN = "\x1f"
"""Separates the texts of several columns that are hashed together (the unit separator)."""

MISSING = "\x00"
"""Represents a null among them; PostgreSQL cannot store it in a text."""


def hashed(text: pl.Expr, algorithm: str, salt: str | None = None) -> pl.Expr:
    """The hash of a text column's UTF-8 bytes; their HMAC with that hash when there is a salt."""
    if salt is not None:
        return KEYED[algorithm](text, salt)
    return HASHES[algorithm](cast("plh.HExpr", text))


def salt_of(reference: str | None, scope: Scope) -> str | None:
    """The salt that a document names, if any. Raises PlanError for one that does not exist or can be guessed."""
    if reference is None:
        return None
    salt = scope.secret(reference, "salt")
    if scope.secrets is None:
        return salt
    try:
        return check_strength(secret_name(reference), scope.secrets[secret_name(reference)])
    except PydanticCustomError as error:
        said = error.context or {}
        raise scope.fault("salt", error.type, said["text"], said["hint"]) from None


def together(texts: list[pl.Expr]) -> pl.Expr:
    """Several text columns as one unambiguous text; null when all are null."""
    joined = pl.concat_str([text.fill_null(MISSING) for text in texts], separator=BETWEEN)
    return pl.when(pl.any_horizontal(text.is_not_null() for text in texts)).then(joined)


def _hexadecimal(numbers: pl.Series) -> pl.Series:
    """64-bit numbers as 16 digits, the highest first."""
    bytes_of = numbers.fill_null(0).to_numpy().astype(">u8").tobytes()
    array = pa.Array.from_buffers(pa.binary(8), len(numbers), [None, pa.py_buffer(bytes_of)])
    digits = cast("pl.Series", pl.from_arrow(array)).cast(pl.Binary).bin.encode("hex")
    return digits.set(numbers.is_null(), None).alias(numbers.name)


def _hmac_sha256(text: pl.Expr, salt: str) -> pl.Expr:
    return cast("plh.HExpr", text).chash.hmac_sha256(key=salt)


def _hmac_sha512(text: pl.Expr, salt: str) -> pl.Expr:
    # A function, not a literal: plans, which errors may quote, do not show its arguments.
    digests = partial(_sha512_twice, *_pads(salt.encode()))
    return text.map_batches(digests, return_dtype=pl.String, is_elementwise=True)


def _pads(key: bytes) -> tuple[bytes, bytes]:
    block = hashlib.sha512().block_size
    key = (hashlib.sha512(key).digest() if len(key) > block else key).ljust(block, b"\0")
    return bytes(byte ^ 0x36 for byte in key), bytes(byte ^ 0x5C for byte in key)


def _sha512_twice(inner: bytes, outer: bytes, texts: pl.Series) -> pl.Series:
    def digest(pad: bytes, content: pl.Expr) -> pl.Expr:
        return cast("plh.HExpr", pl.lit(pad, dtype=pl.Binary) + content).chash.sha2_512()

    first = digest(inner, pl.col(texts.name).cast(pl.Binary)).str.decode("hex")
    return texts.to_frame().select(digest(outer, first).alias(texts.name)).to_series()


KEYED: dict[str, Callable[[pl.Expr, str], pl.Expr]] = {"sha256": _hmac_sha256, "sha512": _hmac_sha512}
"""With a salt, by the algorithm's name."""

HASHES: dict[str, Callable[[plh.HExpr], pl.Expr]] = {
    "sha256": lambda text: text.chash.sha2_256(),
    "sha512": lambda text: text.chash.sha2_512(),
    "md5": lambda text: text.nchash.md5(),
    "xxh3_64": lambda text: text.nchash.xxh3_64().map_batches(
        _hexadecimal, return_dtype=pl.String, is_elementwise=True
    ),
}
"""By the algorithm's name in a document."""
