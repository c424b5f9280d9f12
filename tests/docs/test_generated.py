"""Generated pages match the code and are complete."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from benchmarks import report
from docs.generate.pages import DOCS, pages
from docs.generate.reference import HOOK_TESTS
from docs.generate.registered import EXAMPLE_TEST, ROOT, Registered, registered
from headrace.flows.validation.document_schema import published_schema
from headrace.ir.hooks import HOOKS


@pytest.fixture(scope="module")
def made() -> Mapping[str, str]:
    """The pages by name, as they are written now."""
    return pages()


@pytest.mark.parametrize(
    "name",
    [
        "reference.md",
        "pipeline-ir.schema.json",
        "files.schema.json",
        "connector.schema.json",
        "connectors.md",
        "exactness.md",
        *report.pages(),
    ],
)
def test_a_page_is_current(name: str, made: Mapping[str, str]) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == made[name], "run `make docs`"


@pytest.mark.parametrize("each", list(registered()), ids=lambda each: f"{each.group}/{each.name}")
def test_all_that_a_document_may_name_has_an_example_that_is_run(each: Registered) -> None:
    assert each.shown, f"{each.folder.relative_to(ROOT)}/pipeline.json is to show the {each.what} '{each.name}'"


def test_the_tests_that_are_named_are_there() -> None:
    file, _, name = EXAMPLE_TEST.partition("::")
    assert f"def {name}(" in (ROOT / file).read_text()
    assert set(HOOK_TESTS) == set(HOOKS)
    assert all((ROOT / path).exists() for path in HOOK_TESTS.values())


def fields() -> Iterator[tuple[str, dict[str, Any]]]:
    schema = published_schema()
    for model, each in (schema["$defs"] | {"PipelineIR": schema}).items():
        yield from ((f"{model}.{name}", field) for name, field in each["properties"].items())


def test_every_field_has_a_meaning() -> None:
    """Whether a field has a docstring, except discriminators and fields whose type is a model with one."""
    silent = [name for name, field in fields() if not ({"description", "const", "$ref"} & field.keys())]
    assert [name for name in silent if not name.startswith("DatasetLevel.")] == []


def test_links_lead_somewhere() -> None:
    text = (DOCS / "reference.md").read_text()
    headings = {re.sub(r"[^\w -]", "", line.lstrip("# ")).lower().replace(" ", "-")
                for line in text.splitlines() if line.startswith("#")}  # fmt: skip
    for link in set(re.findall(r"\]\(([^)]+)\)", text)):
        path, _, anchor = link.partition("#")
        assert (DOCS / path).exists() if path else anchor in headings, link
