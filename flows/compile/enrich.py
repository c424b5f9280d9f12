"""What an enrich node does to rows: one column, asked of a provider, or null where nobody is asked."""

from __future__ import annotations

import polars as pl

from connectors.types import polars_dtype
from flows.compile.casting import as_text
from flows.compile.scope import Scope
from flows.compile.step import Check, OnFail, Step
from flows.enrich import DETAIL, PROVIDERS, REASON, VALUE, Asking, Outside, answered
from ir.nodes import EnrichNode
from ir.providers import ProviderConfig
from ir.providers.base import OnError
from ir.schema import Field
from ir.secrets import secret_name

_ANSWER = "__answer"
_ON_FAIL: dict[OnError, OnFail] = {"null": "note", "quarantine": "quarantine", "abort": "abort"}


def compile_enrich(node: EnrichNode, scope: Scope, outside: Outside | None) -> tuple[tuple[Step, ...], str | None]:
    """The steps, and a remark for people when nobody will be asked: without a config, without the credential it names,
    and without an `outside`, as in previews. Raises PlanError."""
    inputs = pl.struct(_input(scope, name, f"fields[{index}]") for index, name in enumerate(node.fields))
    if node.output_field not in node.fields:
        scope.new_column(node.output_field, "outputField")
    config = node.config
    output = Field(node.output_field, "text" if config is None else config.data_type)
    label = f"{output.name} = {node.provider} of {', '.join(node.fields)}"
    secret, silence = None, _silence(node, config, scope, outside)
    if config is not None and config.api_key is not None and scope.secrets is not None:
        secret = str(scope.secrets.get(secret_name(config.api_key)) or "") or None
    if config is None or outside is None or silence is not None:
        dtype = polars_dtype(output)
        # Of the fields, so that what is computed from private columns is known to be.
        nothing = inputs.map_batches(lambda s: pl.repeat(None, s.len(), dtype=dtype, eager=True), return_dtype=dtype)
        told = label if outside is None else f"{label} (not asked)"
        return (Step(scope.node, scope.path, told, columns=(nothing.alias(output.name),)),), silence
    provider = PROVIDERS[node.provider](config)
    asking = Asking(node.id, provider, config, output, secret=secret, outside=outside)
    asked = inputs.map_batches(asking, return_dtype=answered(output)).alias(_ANSWER)
    found = Step(scope.node, scope.path, f"ask for {label}", columns=(asked,), alone=True)
    return (found, _settled(node, scope, config, label)), None


def _settled(node: EnrichNode, scope: Scope, config: ProviderConfig, label: str) -> Step:
    answer, name = pl.col(_ANSWER).struct, node.fields[0]
    reason = answer.field(REASON)
    said = pl.concat_str(pl.lit("No answer: "), reason, ": " + answer.field(DETAIL), ignore_nulls=True)
    missing = Check(
        rule="enrich",
        column=name,
        fails=reason.is_not_null(),
        value=as_text(name, scope.schema[name]),
        message=said,
        on_fail=_ON_FAIL[config.on_error],
    )
    return Step(
        scope.node,
        scope.path,
        label,
        checks=(missing,),
        columns=(answer.field(VALUE).alias(node.output_field),),
        reshape=lambda frame: frame.drop(_ANSWER),
        origins={},
    )


def _input(scope: Scope, name: str, where: str) -> pl.Expr:
    """A field as JSON can have it: null where it is blank, no number, or infinite; the rest is text."""
    have, value = scope.column(name, where), pl.col(name)
    if have.is_float():
        return pl.when(value.is_finite()).then(value.cast(pl.Float64)).alias(name)
    if have.is_integer() or have == pl.Boolean:
        return value
    if have.is_decimal():
        return value.cast(pl.Float64)
    text = as_text(name, have)
    return pl.when(text.str.strip_chars() != "").then(text).alias(name)


def _silence(node: EnrichNode, config: ProviderConfig | None, scope: Scope, outside: Outside | None) -> str | None:
    """Why nobody is asked, for people."""
    void = f"'{node.output_field}' is null"
    if config is None:
        return f"{node.id}: no provider is configured, {void}"
    if outside is None:
        return f"{node.id}: providers are not asked in previews, {void}"
    if config.api_key is not None and not str((scope.secrets or {}).get(secret_name(config.api_key)) or ""):
        name = secret_name(config.api_key)
        return f"{node.id}: the pipeline's connector has no credential '{name}', so nobody is asked and {void}"
    return None
