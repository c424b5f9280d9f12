"""What each op does to rows: one module each, one line here. Its shape in the document stands in `ir.ops`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flows.compile.ops.add_field import compile_add_field
from flows.compile.ops.aggregate import compile_aggregate
from flows.compile.ops.cast import compile_cast
from flows.compile.ops.deduplicate import compile_deduplicate
from flows.compile.ops.drop import compile_drop
from flows.compile.ops.explode import compile_explode
from flows.compile.ops.expression import compile_expression
from flows.compile.ops.fill_null import compile_fill_null
from flows.compile.ops.filter import compile_filter
from flows.compile.ops.geo_resolve import compile_geo_resolve
from flows.compile.ops.hash import compile_hash
from flows.compile.ops.language_detect import compile_language_detect
from flows.compile.ops.lookup_join import compile_lookup_join
from flows.compile.ops.map_values import compile_map_values
from flows.compile.ops.mask_pii import compile_mask_pii
from flows.compile.ops.merge import compile_merge
from flows.compile.ops.parse_json import compile_parse_json
from flows.compile.ops.pivot import compile_pivot
from flows.compile.ops.rename import compile_rename
from flows.compile.ops.sentiment_score import compile_sentiment_score
from flows.compile.ops.sort import compile_sort
from flows.compile.ops.split import compile_split
from flows.compile.ops.sql import compile_sql
from flows.compile.ops.summarize import compile_summarize
from flows.compile.ops.trim import compile_trim
from flows.compile.ops.unpivot import compile_unpivot
from flows.compile.ops.vector_embed import compile_vector_embed
from flows.compile.scope import Scope
from flows.compile.step import Step
from ir.ops import (
    AddField,
    Aggregate,
    Cast,
    Deduplicate,
    Drop,
    Explode,
    Expression,
    FillNull,
    Filter,
    GeoResolve,
    Hash,
    LanguageDetect,
    LookupJoin,
    MapValues,
    MaskPii,
    Merge,
    ParseJson,
    Pivot,
    Rename,
    SentimentScore,
    Sort,
    Split,
    Sql,
    Summarize,
    Trim,
    Unpivot,
    VectorEmbed,
)

COMPILERS: dict[type, Callable[[Any, Scope], tuple[Step, ...]]] = {
    AddField: compile_add_field,
    Aggregate: compile_aggregate,
    Cast: compile_cast,
    Deduplicate: compile_deduplicate,
    Drop: compile_drop,
    Explode: compile_explode,
    Expression: compile_expression,
    FillNull: compile_fill_null,
    Filter: compile_filter,
    GeoResolve: compile_geo_resolve,
    Hash: compile_hash,
    LanguageDetect: compile_language_detect,
    LookupJoin: compile_lookup_join,
    MapValues: compile_map_values,
    MaskPii: compile_mask_pii,
    Merge: compile_merge,
    ParseJson: compile_parse_json,
    Pivot: compile_pivot,
    Rename: compile_rename,
    SentimentScore: compile_sentiment_score,
    Sort: compile_sort,
    Split: compile_split,
    Sql: compile_sql,
    Summarize: compile_summarize,
    Trim: compile_trim,
    Unpivot: compile_unpivot,
    VectorEmbed: compile_vector_embed,
}
"""Compilers by the op's model; each gives the steps in order, or raises PlanError."""
