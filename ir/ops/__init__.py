"""Every op of a transform: one module each, one line in the union.

What an op does to rows stands in `flows.compile.ops`, in a module of the same name.
"""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import Field

from ir.ops.add_field import AddField
from ir.ops.aggregate import Aggregate
from ir.ops.cast import Cast
from ir.ops.deduplicate import Deduplicate
from ir.ops.drop import Drop
from ir.ops.explode import Explode
from ir.ops.expression import Expression
from ir.ops.fill_null import FillNull
from ir.ops.filter import Filter
from ir.ops.geo_resolve import GeoResolve
from ir.ops.hash import Hash
from ir.ops.language_detect import LanguageDetect
from ir.ops.lookup_join import LookupJoin
from ir.ops.map_values import MapValues
from ir.ops.mask_pii import MaskPii
from ir.ops.merge import Merge
from ir.ops.parse_json import ParseJson
from ir.ops.pivot import Pivot
from ir.ops.rename import Rename
from ir.ops.sentiment_score import SentimentScore
from ir.ops.sort import Sort
from ir.ops.split import Split
from ir.ops.sql import Sql
from ir.ops.summarize import Summarize
from ir.ops.trim import Trim
from ir.ops.unpivot import Unpivot
from ir.ops.vector_embed import VectorEmbed

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
