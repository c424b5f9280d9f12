"""Decimal128 as text, compared with the driver."""

from __future__ import annotations

import numpy as np
import pytest
from bson import Decimal128
from hypothesis import given
from hypothesis import strategies as st

from headrace.connectors.mongodb.bson.decimals import decimal_text
from headrace.connectors.mongodb.bson.layout import Buffer
from tests.connectors.mongodb.bson.documents import DECIMALS


def texts(numbers: list[Decimal128]) -> list[str]:
    buffer = Buffer.of(b"".join(each.bid for each in numbers))
    return decimal_text(buffer, np.arange(len(numbers), dtype=np.int64) * 16).to_list()


@given(st.lists(DECIMALS, min_size=1, max_size=20))
def test_any_sixteen_bytes_are_written_as_the_driver_writes_them(numbers: list[Decimal128]) -> None:
    assert texts(numbers) == [_canonical(each) for each in numbers]


@given(st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=-(10**20), max_value=10**20))
def test_usual_numbers(number) -> None:  # type: ignore[no-untyped-def]
    assert texts([Decimal128(number)]) == [str(Decimal128(number))]


@pytest.mark.parametrize(
    "text",
    [
        *("0", "-0", "0.00", "0E+3", "0E-10", "1.10", "1E+3", "1E-7", "0.000001", "0.0000010", "12345.678", "-1.5E-20"),
        *("9.999999999999999999999999999999999E+6144", "1E-6176", "9999999999999999999999999999999999"),
        *("0.1234567890123456789012345678901234", "NaN", "Infinity", "-Infinity"),
    ],
)
def test_examples_of_the_specification(text: str) -> None:
    assert texts([Decimal128(text)]) == [text]


def _canonical(number: Decimal128) -> str:
    """A coefficient of more than 34 digits is zero, which the driver leaves as it is; NaN has no sign."""
    high = int.from_bytes(number.bid[8:], "little")
    exponent = high >> 49 & 0x3FFF
    coefficient = (high & (1 << 49) - 1) << 64 | int.from_bytes(number.bid[:8], "little")
    if high >> 61 & 3 == 3:
        if high >> 58 & 31 in (30, 31):
            return str(number).replace("-NaN", "NaN")
        exponent, coefficient = high >> 47 & 0x3FFF, 0
    if coefficient >= 10**34:
        coefficient = 0
    bid = (coefficient | exponent << 113 | high >> 63 << 127).to_bytes(16, "little")
    return str(Decimal128.from_bid(bid))
