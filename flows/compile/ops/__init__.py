"""The compilers of ops, one line each in COMPILERS. The models of ops in the document are in `ir.ops`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headrace.flows.compile.ops.columns import (
    compile_add_field,
    compile_cast,
    compile_drop,
    compile_expression,
    compile_merge,
    compile_rename,
)
from headrace.flows.compile.ops.grouping import compile_aggregate, compile_summarize
from headrace.flows.compile.ops.json import compile_parse_json
from headrace.flows.compile.ops.lookup import compile_lookup_join
from headrace.flows.compile.ops.models import (
    compile_geo_resolve,
    compile_language_detect,
    compile_sentiment_score,
    compile_vector_embed,
)
from headrace.flows.compile.ops.rows import compile_deduplicate, compile_filter, compile_sort
from headrace.flows.compile.ops.shape import compile_explode, compile_pivot, compile_unpivot
from headrace.flows.compile.ops.sql import compile_sql
from headrace.flows.compile.ops.values import (
    compile_fill_null,
    compile_hash,
    compile_map_values,
    compile_mask_pii,
    compile_split,
    compile_trim,
)
from headrace.flows.compile.scope import Scope
from headrace.flows.compile.step import Step
from headrace.ir.ops import (
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
"""Compilers by the op's model. Each returns its steps in order; it raises PlanError."""
