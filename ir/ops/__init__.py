"""The ops of a transform node, as a union of their models.

`flows.compile.ops` compiles them.
"""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import Field

from headrace.ir.ops.columns import AddField, Cast, Drop, Expression, Merge, Rename
from headrace.ir.ops.grouping import Aggregate, Summarize
from headrace.ir.ops.json import ParseJson
from headrace.ir.ops.lookup import LookupJoin
from headrace.ir.ops.models import GeoResolve, LanguageDetect, SentimentScore, VectorEmbed
from headrace.ir.ops.rows import Deduplicate, Filter, Sort
from headrace.ir.ops.shape import Explode, Pivot, Unpivot
from headrace.ir.ops.sql import Sql
from headrace.ir.ops.values import FillNull, Hash, MapValues, MaskPii, Split, Trim

AnyOp = (
    AddField
    | Aggregate
    | Cast
    | Deduplicate
    | Drop
    | Explode
    | Expression
    | FillNull
    | Filter
    | GeoResolve
    | Hash
    | LanguageDetect
    | LookupJoin
    | MapValues
    | MaskPii
    | Merge
    | ParseJson
    | Pivot
    | Rename
    | SentimentScore
    | Sort
    | Split
    | Sql
    | Summarize
    | Trim
    | Unpivot
    | VectorEmbed
)
Op = Annotated[AnyOp, Field(discriminator="type")]

OPS: dict[str, type[AnyOp]] = {get_args(model.model_fields["type"].annotation)[0]: model for model in get_args(AnyOp)}
"""Op models by type."""

__all__ = [
    "OPS",
    "AddField",
    "Aggregate",
    "AnyOp",
    "Cast",
    "Deduplicate",
    "Drop",
    "Explode",
    "Expression",
    "FillNull",
    "Filter",
    "GeoResolve",
    "Hash",
    "LanguageDetect",
    "LookupJoin",
    "MapValues",
    "MaskPii",
    "Merge",
    "Op",
    "ParseJson",
    "Pivot",
    "Rename",
    "SentimentScore",
    "Sort",
    "Split",
    "Sql",
    "Summarize",
    "Trim",
    "Unpivot",
    "VectorEmbed",
]
