"""`docs/reference.md`: every word that a document may hold, from the models and their docstrings."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import get_args

from connectors.postgresql.modes import MODES
from connectors.registry import SETTINGS
from docs.generate.registered import EXAMPLE_TEST, EXAMPLES, hooks_of, registered
from docs.generate.tables import Models, Schema
from ir.dataset_rules import DatasetLevel
from ir.datatypes import DATA_TYPES, EXPECTED
from ir.hooks import HOOKS
from ir.nodes import NODES
from ir.ops import OPS
from ir.rules.forms import FORMS
from ir.schedule import CronSchedule, IntervalSchedule, RRuleSchedule

HOOK_TESTS = {
    "sql": "tests/flows/runtime/hooks/test_sql_and_refresh.py",
    "refresh": "tests/flows/runtime/hooks/test_sql_and_refresh.py",
    "webhook": "tests/flows/runtime/hooks/test_webhook.py",
    "custom_function": "tests/flows/runtime/hooks/test_custom_function.py",
}

_HEAD = """# Reference of the pipeline document

Made from the models by `make docs`. [What a pipeline document can say](ir.md) tells how things work together;
[pipeline-ir.schema.json](pipeline-ir.schema.json), which the API has at `/api/v1/ir/schema`, is the same for editors.

[Document](#document) · [Schedules](#schedules) · [Data types](#data-types) · [Nodes](#nodes) ·
[Settings of sources](#settings-of-sources) · [Ops](#ops) · [Row rules](#row-rules) · [Dataset rules](#dataset-rules) ·
[Load modes](#load-modes) · [Hooks](#hooks) · [Examples and tests](#examples-and-tests)
"""


def reference(schema: Schema) -> str:
    """The page, of the published schema."""
    models = Models(schema["$defs"], _sections(schema["$defs"]))
    parts = (
        _document(schema, models),
        _schedules(models),
        _data_types(),
        _nodes(models),
        _settings(models),
        _ops(models),
        _row_rules(),
        _dataset_rules(models),
        _load_modes(),
        _hooks(models),
        _tests(),
    )
    lines = [_HEAD, *(line for part in parts for line in part)]
    return "\n".join(lines).rstrip("\n") + "\n"


def _sections(definitions: Schema) -> dict[str, str]:
    """Models that are told under a heading of this page, and the heading: those of a choice under what they are."""
    found = {model.__name__: _tag(model, "kind") for model in (CronSchedule, IntervalSchedule, RRuleSchedule)}
    for name, model in definitions.items():
        tags = model.get("properties", {})
        if name not in found and "const" in tags.get("kind", {}):
            found[name] = "Nodes"
    found |= {model.__name__: "Ops" for model in OPS.values()}
    found |= {model.__name__: "Hooks" for model in HOOKS.values()}
    return found | {model: name for name, model in _dataset_models().items()}


def _dataset_models() -> dict[str, str]:
    return {str(field.alias): get_args(field.annotation)[0].__name__ for field in DatasetLevel.model_fields.values()}


def _document(schema: Schema, models: Models) -> Iterator[str]:
    yield from ("## Document", "")
    yield from models.of(schema)


def _schedules(models: Models) -> Iterator[str]:
    yield from ("## Schedules", "")
    for model in (CronSchedule, IntervalSchedule, RRuleSchedule):
        yield from (f"### `{_tag(model, 'kind')}`", "")
        yield from models.described(model.__name__)


def _data_types() -> Iterator[str]:
    yield from ("## Data types", "", "| type | of a value that is none, people read |", "|---|---|")
    yield from (f"| `{name}` | {EXPECTED[name]} |" for name in DATA_TYPES)
    yield ""


def _nodes(models: Models) -> Iterator[str]:
    yield from ("## Nodes", "")
    for kind, model in NODES.items():
        yield from _heading("nodes", kind)
        members = models.by_tag("kind", kind)
        if len(members) == 1:
            yield from models.described(members[0])
            continue
        yield from models.described(members[0], without=("provider", "config"), about=inspect.getdoc(model))
        for member in members:
            yield from (f"#### `{models.tag(member, 'provider')}`", "", "The `config` of this `provider`.", "")
            yield from models.described(models.of_field(member, "config"))


def _settings(models: Models) -> Iterator[str]:
    yield from ("## Settings of sources", "")
    yield from ("The `config` of a source, by its `connector`. Texts, numbers and choices may hold `{{name}}`.", "")
    for connector, model in SETTINGS.items():
        yield from (f"### `{connector}`", "")
        yield from models.described(model.__name__)


def _ops(models: Models) -> Iterator[str]:
    yield from ("## Ops", "")
    for name, model in OPS.items():
        yield from _heading("ops", name)
        yield from models.described(model.__name__)


def _row_rules() -> Iterator[str]:
    yield from ("## Row rules", "", "The `rule` of a row rule: `name`, or `name:arguments`.", "")
    yield from ("| rule | holds when | written |", "|---|---|---|")
    for name, form in FORMS.items():
        meaning = form.meaning.replace("|", "\\|")
        yield f"| [`{name}`](../examples/rules/{name}) | {meaning} | `{form.example}` |"
    yield ""


def _dataset_rules(models: Models) -> Iterator[str]:
    yield from ("## Dataset rules", "", "`datasetLevel` of a validate node; each is one rule, or a list of them.", "")
    for name, model in _dataset_models().items():
        yield from _heading("dataset_rules", name)
        yield from models.described(model)


def _load_modes() -> Iterator[str]:
    yield from (
        "## Load modes",
        "",
        "[How each works](ir.md#load-modes).",
        "",
        "| `loadMode` | what happens |",
        "|---|---|",
    )
    for name, mode in MODES.items():
        told = inspect.getdoc(inspect.getmodule(mode)) or ""
        meaning = told.partition("\n\n")[0].partition(": ")[2]
        yield f"| [`{name}`](../examples/load_modes/{name}) | {_sentence(meaning)} |"
    yield ""


def _hooks(models: Models) -> Iterator[str]:
    yield from ("## Hooks", "", "`preHook` and `postHook` of a target: one, or a list of them.", "")
    for name, model in HOOKS.items():
        yield from (f"### `{name}`", "")
        yield from models.described(model.__name__)


def _tests() -> Iterator[str]:
    yield from ("## Examples and tests", "")
    yield from (f"Each example is run into a real table by `{EXAMPLE_TEST}[<example>]`.", "")
    yield from ("| what | name | example | test |", "|---|---|---|---|")
    for each in registered():
        example = f"{each.group}/{each.name}"
        yield f"| {each.what} | `{each.name}` | [{example}](../examples/{example}) | `[{example}]` |"
    shown = hooks_of(EXAMPLES / "nodes" / "target")
    for name in HOOKS:
        example = "[nodes/target](../examples/nodes/target)" if name in shown else ""
        yield f"| hook | `{name}` | {example} | `{HOOK_TESTS[name]}` |"


def _heading(group: str, name: str) -> Iterator[str]:
    yield from (f"### `{name}`", "", f"[Example](../examples/{group}/{name})", "")


def _sentence(text: str) -> str:
    return text[:1].upper() + " ".join(text.split())[1:]


def _tag(model: type, tag: str) -> str:
    found: str = get_args(model.model_fields[tag].annotation)[0]  # type: ignore[attr-defined]
    return found
