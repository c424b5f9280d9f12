"""Ops that run a local model: `geo_resolve`, `language_detect`, `sentiment_score`, `vector_embed`."""

from __future__ import annotations

from importlib.util import find_spec

import polars as pl

from headrace.flows.compile.casting import check
from headrace.flows.compile.scope import Scope
from headrace.flows.compile.step import Step
from headrace.flows.models import embedding, language, places, sentiment
from headrace.ir.ops import GeoResolve, LanguageDetect, SentimentScore, VectorEmbed


def needs(scope: Scope, op: str, module: str) -> None:
    """Raises PlanError when `module` is not installed."""
    if find_spec(module) is None:
        message = f"'{op}' needs the library {module}, which is not installed"
        raise scope.fault("type", "missing_extra", message, "pip install 'headrace[models]'")


_PLACE = "__place"


def compile_geo_resolve(op: GeoResolve, scope: Scope) -> tuple[Step, ...]:
    """Finds the nearest place of each row once, then takes the columns from it."""
    needs(scope, op.type, places.MODULE)
    lat, lon = _degrees(scope, op.lat, "lat"), _degrees(scope, op.lon, "lon")
    for part, name in op.to.named.items():
        scope.new_column(name, f"to.{part}")
    on_fail = "quarantine" if op.on_error == "null" else op.on_error
    checks = tuple(
        check("geo", name, scope.schema[name], ~value.is_between(-limit, limit), message, on_fail)
        for name, value, limit, message in (
            (op.lat, lat, 90, "Expected latitude between -90 and 90"),
            (op.lon, lon, 180, "Expected longitude between -180 and 180"),
        )
    )
    place = pl.struct(lat.alias("lat"), lon.alias("lon")).map_batches(
        lambda pair: places.nearest_places(pair.struct.unnest()), return_dtype=places.PLACE, is_elementwise=True
    )
    label = f"nearest place to {op.lat}, {op.lon}"
    found = Step(
        scope.node,
        scope.path,
        label,
        checks=() if op.on_error == "null" else checks,
        columns=(place.alias(_PLACE),),
    )
    taken = tuple(pl.col(_PLACE).struct.field(part).alias(name) for part, name in op.to.named.items())
    named = ", ".join(op.to.named.values())
    settle = Step(
        scope.node, scope.path, f"take {named}", columns=taken, reshape=lambda frame: frame.drop(_PLACE), origins={}
    )
    return found, settle


def _degrees(scope: Scope, name: str, where: str) -> pl.Expr:
    have = scope.column(name, where)
    if not (have.is_numeric() or have == pl.Null):
        raise scope.fault(
            where, "wrong_type", f"'{name}' is {have}, not a number of degrees", "cast it to double before"
        )
    return pl.col(name).cast(pl.Float64)


def compile_language_detect(op: LanguageDetect, scope: Scope) -> tuple[Step, ...]:
    """Adds the column of language codes."""
    needs(scope, op.type, language.MODULE)
    text = scope.text(op.field, "field")
    scope.output(op.to, "to", replaces=op.field)
    column = text.map_batches(language.language, return_dtype=pl.String(), is_elementwise=True).alias(op.to)
    return (Step(scope.node, scope.path, f"{op.to} = language of {op.field}", columns=(column,)),)


def compile_sentiment_score(op: SentimentScore, scope: Scope) -> tuple[Step, ...]:
    """Adds the column of scores."""
    needs(scope, op.type, sentiment.MODULE)
    text = scope.text(op.field, "field")
    scope.output(op.to, "to", replaces=op.field)
    column = text.map_batches(sentiment.sentiment, return_dtype=pl.Float64(), is_elementwise=True).alias(op.to)
    return (Step(scope.node, scope.path, f"{op.to} = sentiment of {op.field}", columns=(column,)),)


def compile_vector_embed(op: VectorEmbed, scope: Scope) -> tuple[Step, ...]:
    """Adds the column of vectors."""
    needs(scope, op.type, embedding.MODULE)
    text = scope.text(op.field, "field")
    scope.output(op.to, "to", replaces=op.field)
    column = text.map_batches(embedding.embed, return_dtype=embedding.VECTOR, is_elementwise=True).alias(op.to)
    return (Step(scope.node, scope.path, f"{op.to} = embedding of {op.field}", columns=(column,)),)
