"""Ops that run a model: their results, and the error when the library is missing."""

from __future__ import annotations

import importlib.machinery
import sys
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from headrace.flows.models import MAX_CHARACTERS, embedding
from tests.flows.compile.ops.cases import Op, frame, passed, planned, problems, values
from tests.flows.compile.ops.models import EMBED, FEEL, PLACE, SPEAK


def test_texts_alike_in_meaning_have_vectors_alike() -> None:
    texts = ["red running shoes", "trainers for jogging", "annual tax return", None, "  "]
    shoes, trainers, taxes, *nothing = values(EMBED, "vector", text=texts)
    assert len(shoes) == embedding.DIMENSIONS
    assert np.dot(shoes, shoes) == pytest.approx(1, abs=1e-5)
    assert np.dot(shoes, trainers) > np.dot(shoes, taxes) + 0.1
    assert nothing == [None, None]


def test_a_text_is_reported_by_its_beginning() -> None:
    text = "A tale of rivers and mills. " * 400
    assert len(text) > MAX_CHARACTERS
    whole, begun = values(EMBED, "vector", text=[text, text[:MAX_CHARACTERS]])
    assert whole == begun


def test_sentiment_is_between_minus_one_and_one() -> None:
    good, bad, flat, *nothing = values(
        FEEL, "score", text=["I love it, wonderful!", "Terrible, I hate it.", "It is a box.", None, ""]
    )
    assert (-1 <= bad < -0.5, flat, 0.5 < good <= 1) == (True, 0, True)
    assert nothing == [None, None]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The delivery was late and the box was open", "en"),
        ("Die Lieferung kam spät und das Paket war offen", "de"),
        ("La livraison est arrivée en retard", "fr"),
        ("荷物が遅れて届きました", "ja"),
        ("Ваша посылка доставлена", "ru"),
        ("12345", None),
        ("😀", None),
        ("", None),
        (None, None),
    ],
)
def test_a_language_is_its_two_letter_code(text: str | None, language: str | None) -> None:
    assert values(SPEAK, "language", text=[text]) == [language]


def test_a_place_is_the_nearest_city_and_a_coordinate_that_cannot_be_is_an_error_row() -> None:
    batch = frame(
        price=[48.137, -33.87, 95, float("nan"), None], amount=list(map(Decimal, ("11.57", "151.21", "10", "10", "10")))
    )
    made, cells, _ = passed(planned(PLACE), batch)
    assert made.select("country", "region", "city").rows() == [
        ("DE", "Bavaria", "Munich"),
        ("AU", "New South Wales", "Sydney"),
        (None, None, None),
    ]
    assert [cell[:4] for cell in cells] == [
        (3, "price", "95.0", "Expected latitude between -90 and 90"),
        (4, "price", "NaN", "Expected latitude between -90 and 90"),
    ]
    made, cells, _ = passed(planned({**PLACE, "onError": "null"}), batch)
    assert (made.height, made.get_column("city").null_count(), cells) == (5, 3, [])


@pytest.mark.parametrize(
    ("op", "problem"),
    [
        ({**EMBED, "field": "txt"}, ("ops[0].field", "unknown_column")),
        ({**FEEL, "field": "id"}, ("ops[0].field", "wrong_type")),
        ({**SPEAK, "to": "id"}, ("ops[0].to", "column_exists")),
        ({**PLACE, "lat": "text"}, ("ops[0].lat", "wrong_type")),
        ({**PLACE, "to": {"city": "id"}}, ("ops[0].to.city", "column_exists")),
    ],
)
def test_what_cannot_be_is_reported_when_the_pipeline_is_saved(op: Op, problem: tuple[str, str]) -> None:
    assert problems(op) == [problem]


@pytest.mark.parametrize(
    ("op", "library"),
    [(EMBED, "wordllama"), (FEEL, "vaderSentiment"), (SPEAK, "py3langid"), (PLACE, "reverse_geocode")],
)
def test_a_missing_library_is_reported_with_what_to_install(
    op: Op, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Without(importlib.machinery.PathFinder):
        """The installed packages as they are without the extra."""

        @classmethod
        def find_spec(cls, name: str, *args: Any, **kwargs: Any) -> Any:
            return None if name == library else super().find_spec(name, *args, **kwargs)

    others = [finder for finder in sys.meta_path if finder is not importlib.machinery.PathFinder]
    monkeypatch.setattr(sys, "meta_path", [*others, Without])
    monkeypatch.delitem(sys.modules, library, raising=False)
    (problem,) = planned(op).problems
    assert (problem.path, problem.code) == ("nodes[1].ops[0].type", "missing_extra")
    assert library in problem.message
    assert problem.hint == "pip install 'headrace[models]'"
