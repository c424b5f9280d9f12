"""`geo_resolve`"""

from __future__ import annotations

import polars as pl

from flows.compile.casting import check
from flows.compile.models import needs
from flows.compile.scope import Scope
from flows.compile.step import Step
from flows.models import places
from ir.ops import GeoResolve

_PLACE = "__place"


def compile_geo_resolve(op: GeoResolve, scope: Scope) -> tuple[Step, ...]:
    """The place, found once for each row, and then the columns taken from it."""
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
