"""Ops that run a local model: geo_resolve, language_detect, sentiment_score, vector_embed."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from headrace.ir.base import ColumnName, Doc
from headrace.ir.ops.base import OpBase
from headrace.ir.problems import fault


class PlaceColumns(Doc):
    """The columns for the place's `country` (ISO 3166 alpha-2 code), `region` and `city`; parts without one are left
    out."""

    country: ColumnName | None = None
    """The column for the ISO 3166 alpha-2 code."""
    region: ColumnName | None = None
    """The column for the state or province."""
    city: ColumnName | None = None
    """The column for the city's name."""

    @property
    def named(self) -> dict[str, str]:
        """Part of the place → its column."""
        return {part: name for part in ("country", "region", "city") if (name := getattr(self, part)) is not None}

    @model_validator(mode="after")
    def _some_and_distinct(self) -> PlaceColumns:
        names = list(self.named.values())
        if not names or len(set(names)) < len(names):
            hint = "for example {'country': 'country', 'city': 'city'}"
            raise fault("place_columns", "'to' names a column for country, region or city, each its own", hint)
        return self


class GeoResolve(OpBase):
    """Finds the city nearest to (`lat`, `lon`), in degrees, and writes the columns of `to`. An invalid coordinate makes
    its row an error (`quarantine`), gives nulls (`null`) or fails the run (`abort`); null gives nulls. Needs the extra
    `headrace[models]`."""

    type: Literal["geo_resolve"]
    lat: ColumnName
    """The column of the latitude."""
    lon: ColumnName
    """The column of the longitude."""
    to: PlaceColumns
    """The columns to write."""
    on_error: Literal["quarantine", "null", "abort"] = "quarantine"
    """What to do with an invalid coordinate."""

    @property
    def makes(self) -> tuple[str, ...]:
        return tuple(self.to.named.values())


class LanguageDetect(OpBase):
    """Writes the ISO 639-1 code of the language of `field` to `to`; null where no language has a probability above one
    half. Needs the extra `headrace[models]`."""

    type: Literal["language_detect"]
    field: ColumnName
    """The column of the text."""
    to: ColumnName
    """The column to write."""

    @property
    def makes(self) -> tuple[str, ...]:
        return (self.to,)


class SentimentScore(OpBase):
    """Writes the sentiment of the English text of `field` to `to`, from -1 (negative) to 1 (positive). Null where
    the text is null. Needs the extra `headrace[models]`."""

    type: Literal["sentiment_score"]
    field: ColumnName
    """The column of the text."""
    to: ColumnName
    """The column to write."""

    @property
    def makes(self) -> tuple[str, ...]:
        return (self.to,)


EmbeddingModel = Literal["wordllama"]


class VectorEmbed(OpBase):
    """Writes the embedding of the text of `field` to `to`: a vector of 256 numbers with length 1, so that the dot
    product of two is their cosine similarity. Null where the text is null or blank. Needs the extra
    `headrace[models]`."""

    type: Literal["vector_embed"]
    field: ColumnName
    """The column of the text."""
    to: ColumnName
    """The column to write."""
    model: EmbeddingModel = "wordllama"
    """The embedding model."""

    @property
    def makes(self) -> tuple[str, ...]:
        return (self.to,)
