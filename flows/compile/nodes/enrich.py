"""Enrich nodes: one column with the answers of a provider, or null where the provider is not asked."""

from __future__ import annotations

import httpx
import polars as pl
from pydantic_core import PydanticCustomError

from headrace.connectors.datatypes import polars_dtype
from headrace.flows.compile.casting import as_text
from headrace.flows.compile.scope import Scope
from headrace.flows.compile.step import Check, OnFail, Step
from headrace.flows.enrich import DETAIL, PROVIDERS, REASON, VALUE, Enricher, ProviderAccess, answer_dtype
from headrace.ir.nodes import EnrichNode
from headrace.ir.providers import ProviderConfig
from headrace.ir.providers.configs import OnError
from headrace.ir.schema import Field
from headrace.ir.secrets import parse_bound_key, secret_name

_ANSWER = "__answer"
_ON_FAIL: dict[OnError, OnFail] = {"null": "note", "quarantine": "quarantine", "abort": "abort"}


def compile_enrich(
    node: EnrichNode, scope: Scope, providers: ProviderAccess | None
) -> tuple[tuple[Step, ...], str | None]:
    """The steps, and a note if the provider will not be called: without a config, without the credential it names, or
    without `providers`, as in previews. Raises PlanError."""
    inputs = pl.struct(_input(scope, name, f"fields[{index}]") for index, name in enumerate(node.fields))
    if node.output_field not in node.fields:
        scope.new_column(node.output_field, "outputField")
    config = node.config
    output = Field(node.output_field, "text" if config is None else config.data_type)
    label = f"{output.name} = {node.provider} of {', '.join(node.fields)}"
    secret, silence = None, _why_not_asked(node, config, scope, providers)
    if config is not None and config.api_key is not None and scope.secrets is not None:
        secret = _key(config, config.api_key, scope)
    if config is None or providers is None or silence is not None:
        dtype = polars_dtype(output)
        # Computed from the fields, so that it is private where they are.
        nothing = inputs.map_batches(lambda s: pl.repeat(None, s.len(), dtype=dtype, eager=True), return_dtype=dtype)
        description = label if providers is None else f"{label} (not asked)"
        return (Step(scope.node, scope.path, description, columns=(nothing.alias(output.name),)),), silence
    provider = PROVIDERS[node.provider](config)
    asking = Enricher(node.id, provider, config, output, secret=secret, providers=providers)
    asked = inputs.map_batches(asking, return_dtype=answer_dtype(output)).alias(_ANSWER)
    found = Step(scope.node, scope.path, f"ask for {label}", columns=(asked,), alone=True)
    return (found, _settled(node, scope, config, label)), None


def _key(config: ProviderConfig, reference: str, scope: Scope) -> str | None:
    """The provider's key, if there is one. Raises PlanError unless it may be sent to the host of the document."""
    name = secret_name(reference)
    credential = (scope.secrets or {}).get(name)
    if not credential:
        return None
    try:
        key = parse_bound_key(name, credential)
    except PydanticCustomError as error:
        said = error.context or {}
        raise scope.fault("config.apiKey", error.type, said["text"], said["hint"]) from None
    place = _origin(config.url.partition("{")[0])
    if place not in map(_origin, key.hosts):
        shown = f"{place[0]}://{place[1]}:{place[2]}"
        message = f"The credential '{name}' may not be sent to {shown}"
        hint = f"it is for {', '.join(key.hosts)}; set the credential again to change its hosts"
        raise scope.fault("config.url", "host_not_declared", message, hint)
    return key.value.get_secret_value()


def _origin(text: str) -> tuple[str, str, int]:
    """Scheme (https by default), host and port of an address."""
    url = httpx.URL(text if "://" in text else f"https://{text}")
    return url.scheme, url.raw_host.decode().lower().rstrip("."), url.port or (443 if url.scheme == "https" else 80)


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
    """A field as a JSON value: number, Boolean, or text for other types; null for blank text, NaN and infinity."""
    have, value = scope.column(name, where), pl.col(name)
    if have.is_float():
        return pl.when(value.is_finite()).then(value.cast(pl.Float64)).alias(name)
    if have.is_integer() or have == pl.Boolean:
        return value
    if have.is_decimal():
        return value.cast(pl.Float64)
    text = as_text(name, have)
    return pl.when(text.str.strip_chars() != "").then(text).alias(name)


def _why_not_asked(
    node: EnrichNode, config: ProviderConfig | None, scope: Scope, providers: ProviderAccess | None
) -> str | None:
    """The reason why the provider is not called, as a note; None if it is called."""
    void = f"'{node.output_field}' is null"
    if config is None:
        return f"{node.id}: no provider is configured, {void}"
    if providers is None:
        return f"{node.id}: providers are not asked in previews, {void}"
    if config.api_key is not None and not (scope.secrets or {}).get(secret_name(config.api_key)):
        name = secret_name(config.api_key)
        return f"{node.id}: the pipeline's connector has no credential '{name}', so no provider is asked and {void}"
    return None
