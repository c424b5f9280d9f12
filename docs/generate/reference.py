"""`docs/reference.md`: every field, op, rule and mode of a document, from the models and their docstrings."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import get_args

from docs.generate.registered import EXAMPLE_TEST, EXAMPLES, hooks_of, registered
from docs.generate.tables import Models, Schema
from headrace.connectors.api_targets import API_TARGETS
from headrace.connectors.postgresql.modes import MODES
from headrace.connectors.registry import readable
from headrace.ir.dataset_rules import DatasetLevel
from headrace.ir.hooks import HOOKS
from headrace.ir.nodes import NODES
from headrace.ir.ops import OPS
from headrace.ir.rules.syntax import FORMS
from headrace.ir.schedules.schedule import CronSchedule, IntervalSchedule, RRuleSchedule
from headrace.ir.schema import DATA_TYPES, EXPECTED
from headrace.ir.sql.expressions.functions import FUNCTIONS, TYPES
from headrace.ir.sql.queries.functions import AGGREGATES, SCALAR, WINDOWS

HOOK_TESTS = {
    "sql": "tests/flows/runtime/hooks/test_sql_and_refresh.py",
    "refresh": "tests/flows/runtime/hooks/test_sql_and_refresh.py",
    "webhook": "tests/flows/runtime/hooks/test_webhook.py",
    "custom_function": "tests/flows/runtime/hooks/test_custom_function.py",
}

_HEAD = """# Reference of the pipeline document

Every field of a pipeline document, generated from the models by `make docs`. [The pipeline document](ir.md) and the
pages it links to explain how things work. Editors can use [pipeline-ir.schema.json](pipeline-ir.schema.json), which the
API serves at `/api/v1/ir/schema`.

[Document](#document) · [Schedules](#schedules) · [Data types](#data-types) · [Nodes](#nodes) ·
[Settings of sources](#settings-of-sources) · [Settings of targets](#settings-of-targets) · [Ops](#ops) ·
[Functions of expressions](#functions-of-expressions) ·
[Functions of queries](#functions-of-queries) · [Row rules](#row-rules) · [Dataset rules](#dataset-rules) ·
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
        _expressions(),
        _queries(),
        _row_rules(),
        _dataset_rules(models),
        _load_modes(),
        _hooks(models),
        _tests(),
    )
    lines = [_HEAD, *(line for part in parts for line in part)]
    return "\n".join(lines).rstrip("\n") + "\n"


def _sections(definitions: Schema) -> dict[str, str]:
    """The models that have a heading on this page, with that heading; members of a union share one."""
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
    yield from ("## Data types", "", "| type | error of an invalid value |", "|---|---|")
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
    yield from ("The `config` of a source, by its `connector`. Texts, numbers and choices may contain `{{name}}`.", "")
    connectors: dict[str, list[str]] = {}
    for name, each in readable().items():
        if each.settings is not None:
            connectors.setdefault(each.settings.__name__, []).append(f"`{name}`")
    for model, names in connectors.items():
        yield from (f"### {', '.join(names)}", "")
        yield from models.described(model)
    yield from ("## Settings of targets", "")
    yield from ("The `config` of a target with a `connector`. Texts, numbers and choices may contain `{{name}}`.", "")
    for name, api in API_TARGETS.items():
        yield from (f"### `{name}` (target)", "")
        yield from models.described(api.settings.__name__)


def _ops(models: Models) -> Iterator[str]:
    yield from ("## Ops", "")
    for name, model in OPS.items():
        yield from _heading("ops", name)
        yield from models.described(model.__name__)


def _expressions() -> Iterator[str]:
    yield from (
        "## Functions of expressions",
        "",
        "The functions that an [expression](transforms.md#expressions) may call.",
        "",
    )
    yield from ("| function | arguments | result |", "|---|---|---|")
    for name, function in FUNCTIONS.items():
        takes = [*function.takes[: function.least], *(f"{each}?" for each in function.takes[function.least :])]
        more = ", …" if function.more else ""
        yield f"| `{name.lower()}` | {', '.join(takes) or 'nothing'}{more} | {function.gives} |"
    yield from ("", "Also `extract(part FROM time)`, `position(text IN text)`, `substring(text FROM n FOR n)`,")
    yield from (
        "`trim(BOTH 'x' FROM text)`, `normalize(text, NFC)`, `cast(… AS type)`, `try_cast` and `::`. The types:",
        "",
    )
    yield from (", ".join(f"`{name.lower()}`" for name in TYPES), "")


def _queries() -> Iterator[str]:
    yield from ("## Functions of queries", "")
    yield from ("The functions that a [query](transforms.md#queries) of the op `sql` may call.", "")
    for what, names in (("Scalar", SCALAR), ("Aggregates", AGGREGATES), ("Windows", WINDOWS)):
        yield from (f"*{what}*: {', '.join(f'`{name}`' for name in sorted(names))}.", "")


def _row_rules() -> Iterator[str]:
    yield from ("## Row rules", "", "The `rule` of a row rule: `name`, or `name:arguments`.", "")
    yield from ("| rule | passes if | example |", "|---|---|---|")
    for name, form in FORMS.items():
        meaning = form.meaning.replace("|", "\\|")
        yield f"| [`{name}`](../examples/rules/{name}) | {meaning} | `{form.example}` |"
    yield ""


def _dataset_rules(models: Models) -> Iterator[str]:
    yield from ("## Dataset rules", "")
    yield from ("`datasetLevel` of a validate node. Each kind is one rule or a list of them.", "")
    for name, model in _dataset_models().items():
        yield from _heading("dataset_rules", name)
        yield from models.described(model)


def _load_modes() -> Iterator[str]:
    yield from (
        "## Load modes",
        "",
        "[How each works](loading.md#load-modes).",
        "",
        "| `loadMode` | what happens |",
        "|---|---|",
    )
    for name, mode in MODES.items():
        description = inspect.getdoc(inspect.getmodule(mode)) or ""
        meaning = description.partition("\n\n")[0].partition(": ")[2]
        yield f"| [`{name}`](../examples/load_modes/{name}) | {_sentence(meaning)} |"
    yield ""


def _hooks(models: Models) -> Iterator[str]:
    yield from ("## Hooks", "", "`preHook` and `postHook` of a target: one hook or a list of them.", "")
    for name, model in HOOKS.items():
        yield from (f"### `{name}`", "")
        yield from models.described(model.__name__)


def _tests() -> Iterator[str]:
    yield from ("## Examples and tests", "")
    yield from (f"`{EXAMPLE_TEST}[<example>]` loads each example into a real table.", "")
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
