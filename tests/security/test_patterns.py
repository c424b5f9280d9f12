"""Regular expressions of users and of the code are matched in linear time, by one engine."""

from __future__ import annotations

import ast
import fnmatch
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.api.connectors.secrets import split_secrets
from headrace.connectors.errors import SourceError
from headrace.connectors.files.arrival.settings import PARAMETER
from headrace.connectors.files.local.local_fs import local_files
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.files.patterns import MAX_CHARACTERS, expression_of, matching
from headrace.connectors.files.selection import Selection, StoredFile
from headrace.flows.enrich.providers import _unfenced
from headrace.flows.validation.check import check_types
from headrace.ir import parse_ir
from headrace.ir.schedules.recurrence import has_utc_dtstart
from tests.flows.pipelines import document

ROOMS = ("ir", "connectors", "catalog", "flows", "deployments", "api")
HOUSE = Path(__file__).parents[2]

EXPONENTIAL = [
    r"((\w+_?)+)+!",
    r"(a+)+$b",
    r"(a|aa)+!",
    r"(a|a?)+!",
    r"(.*a){25}!",
    r"(x+x+)+y",
    r"^(([a-z])+.)+[A-Z]([a-z])+$",
    r"(?:(?:(?:a*)*)*)*!",
]
"""Each takes Python's `re` longer than the universe is old with the names below."""

NAMES = ["a" * 28, "a" * 250, "x" * 250, "aB" * 125, "a_" * 125]


def chosen(kind: str, value: str, names: list[str]) -> list[str]:
    """Those that a source with the pattern takes."""
    selection = Selection.from_config({"pattern": {"type": kind, "value": value}, "ordering": "process_all"})
    files = [StoredFile(name, 1, 0.0, "1") for name in ["always", *names]]
    wanted = expression_of(kind, value)
    if not any(matching(wanted, [file.name for file in files])):
        with pytest.raises(SourceError, match="No file in 'in' matches"):
            selection.choose(files, folder="in")
        return []
    return [file.name for file in selection.choose(files, folder="in")]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("value", EXPONENTIAL)
def test_no_pattern_and_no_name_keep_the_process_busy(value: str) -> None:
    began = time.monotonic()
    assert chosen("regex", value, NAMES * 1_000) == []
    assert time.monotonic() - began < 30  # it is a fraction of a second; the other engine never ends


@pytest.mark.timeout(60)
@pytest.mark.parametrize("value", ["a*" * 400 + "b", "*a" * 400 + "!", "?*" * 120 + "!", "[a-z]*" * 160 + "!"])
def test_nor_does_a_glob_of_many_stars(value: str) -> None:
    assert chosen("glob", value, NAMES * 100) == []


@pytest.mark.timeout(60)
def test_a_preview_of_the_attack_ends(tmp_path: Path) -> None:
    (tmp_path / ("a" * 28)).write_text("amount\n1\n")
    config = {"path": ".", "pattern": {"type": "regex", "value": EXPONENTIAL[0]}, "format": "csv"}
    with pytest.raises(SourceError, match="No file"):
        local_files(config, files_root=FilesRoot(tmp_path)).discover(max_partitions=1)


def test_nobody_gives_a_users_text_to_pythons_engine() -> None:
    """All patterns of `re` are written in our source. Where one is put together, it is of names that are ours."""
    ours = {
        ("ir/statements/maintenance.py", "rf"),
        ("ir/rules/syntax.py", "names"),
        ("ir/base.py", "_CONTROL"),
        ("ir/schedules/cron.py", "_VALUE"),
        ("flows/prefect/block_references.py", "PATTERN"),
        ("flows/runtime/staging/objects.py", "tag"),
        ("deployments/prefect/registered_pipeline.py", "_ALIKE"),
        ("deployments/cli/documents/yaml_format.py", "_pattern"),
        ("api/applied_sets/rehearsal.py", "pattern"),  # the path of a route
        ("connectors/stores/object_store/refusals.py", "tag"),
        ("connectors/stores/http/files.py", "at"),  # a number
        ("connectors/sql/postgresql/errors.py", "pattern"),  # what drivers say, and its remedy
        ("connectors/sql/mysql/errors.py", "pattern"),
        ("connectors/snowflake/errors.py", "pattern"),
        ("connectors/mongodb/errors.py", "pattern"),
        ("connectors/network/reachability.py", "pattern"),
        ("connectors/sql/relation.py", "_PART"),
        ("connectors/snowflake/names.py", "_PART"),
        ("ir/web_address.py", "_PLACE"),
    }
    engine = {"compile", "match", "search", "fullmatch", "sub", "subn", "split", "findall", "finditer"}
    made: set[str] = set()
    for room in ROOMS:
        for path in (HOUSE / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and node.func.attr in engine
                    and isinstance(node.func.value, ast.Name)
                    and node.func.value.id == "re"
                    and not isinstance(node.args[0], ast.Constant)
                ):
                    made.add(path.relative_to(HOUSE).as_posix())
    assert made <= {path for path, _ in ours}
    files = (HOUSE / "connectors" / "files").rglob("*.py")
    assert not [path for path in files if "re.escape" in path.read_text() or "fnmatch.translate" in path.read_text()]


class TestTheDialect:
    @given(
        st.text("ab-]![*?^\\.{}é\n", max_size=8),
        st.lists(st.text("ab-]![*?^\\.{}é\n", max_size=6), min_size=1, max_size=20),
    )
    def test_a_glob_means_what_it_always_meant(self, glob: str, names: list[str]) -> None:
        assert matching(expression_of("glob", glob), names) == [fnmatch.fnmatchcase(name, glob) for name in names]

    @pytest.mark.parametrize(
        ("value", "names"),
        [
            (r"orders_\d{4}\.csv", ["orders_2024.csv", "orders_2025.csv"]),
            (r"orders_2024\.csv|other\.csv", ["orders_2024.csv", "other.csv"]),
            (r"(?i)ORDERS_2024\.CSV", ["orders_2024.csv"]),
            (r"orders_2024", []),  # the whole name
            (r"(?P<what>\w+)_2024\.csv", ["Xorders_2024.csv", "orders_2024.csv"]),
            (r"(?s).*_2024.*", ["Xorders_2024.csv", "orders_2024.csv", "orders_2024.csv\n"]),
            (r"orders_2024\.csv$", ["orders_2024.csv"]),  # `$` is the end, not that of a line
            (r"^orders_2025\.csv$", ["orders_2025.csv"]),
        ],
    )
    def test_a_regular_expression_matches_whole_names(self, value: str, names: list[str]) -> None:
        there = ["orders_2024.csv", "orders_2025.csv", "other.csv", "Xorders_2024.csv", "orders_2024.csv\n"]
        assert chosen("regex", value, there) == names

    def test_a_name_that_cannot_be_is_reported_as_text_that_cannot(self) -> None:
        raw = document()
        raw["nodes"][0]["config"] = {"path": "in/", "pattern": {"type": "glob", "value": "a\0"}}
        [problem] = parse_ir(raw).problems
        assert (problem.path, problem.code) == ("nodes[0].config.pattern.value", "unstorable_text")

    @pytest.mark.parametrize(
        ("pattern", "place", "says"),
        [
            ({"type": "regex", "value": "("}, "pattern.value", "unclosed group"),
            ({"type": "regex", "value": "a)|(b"}, "pattern.value", "unopened group"),
            ({"type": "regex", "value": r"(?=a).*"}, "pattern.value", "look-around"),
            ({"type": "regex", "value": r"(?<!a).*"}, "pattern.value", "look-around"),
            ({"type": "regex", "value": r"(a)\1"}, "pattern.value", "backreferences"),
            ({"type": "regex", "value": r"(?x) a # b"}, "pattern.value", "unclosed group"),
            ({"type": "regex", "value": r"(?:\w{100}){100}"}, "pattern.value", "too large"),
            ({"type": "regex", "value": "(((a{100}){100}){100}){100}"}, "pattern.value", "too large"),
            ({"type": "regex", "value": "a" * (MAX_CHARACTERS + 1)}, "pattern.value", "1,001 characters"),
            ({"type": "glob", "value": "*" * (MAX_CHARACTERS + 1)}, "pattern.value", "1,001 characters"),
            ("*" * (MAX_CHARACTERS + 1), "pattern", "1,001 characters"),
            ({"type": "regexp", "value": "a"}, "pattern.type", "Unknown pattern type"),
            ({"type": "date_glob", "value": "a", "timezone": "Mars"}, "pattern.timezone", "Unknown timezone"),
            ({"type": "date_glob", "value": "a", "timezone": "Europe"}, "pattern.timezone", "Unknown timezone"),
            ({"type": "date_glob", "value": "a", "timezone": "a" * 5000}, "pattern.timezone", "Unknown timezone"),
            ({"type": "date_glob", "value": "a", "timezone": "../../x"}, "pattern.timezone", "Unknown timezone"),
            (["*.csv"], "pattern", "a text or an object"),
        ],
    )
    def test_what_cannot_be_is_reported_when_it_is_saved_with_its_place(
        self, pattern: Any, place: str, says: str
    ) -> None:
        config = {"path": "in/", "pattern": pattern}
        [problem] = problems_of(config)
        assert (problem.path, says in problem.message, bool(problem.hint)) == (f"nodes[0].config.{place}", True, True)
        with pytest.raises(SourceError, match=re.escape(says)):
            local_files(config, files_root=FilesRoot(Path()))

    @pytest.mark.parametrize(
        "config",
        [
            {"path": "{{where}}", "pattern": {"type": "regex", "value": "(?=a){{name}}"}},
            {"path": "../{{where}}", "pattern": {"type": "{{kind}}", "value": "("}},
            {"path": "in", "pattern": None, "ordering": None},
            {"path": "in", "pattern": "[", "ordering": "{{how}}"},
            {},
        ],
    )
    def test_what_a_run_is_given_is_evaluated_then(self, config: dict[str, Any]) -> None:
        assert problems_of(config) == []


def test_many_patterns_are_no_more_work_than_one_may_be() -> None:
    """Each is within its bounds; a viewer's `validate` compiles them all."""
    raw = document()
    pattern = {"type": "regex", "value": r"\w{90}"}
    one = {**raw["nodes"][0], "config": {"path": "in", "pattern": pattern}}
    raw["nodes"] = [{**one, "id": f"s{number}"} for number in range(500)]
    result = parse_ir(raw)
    assert result.ir is None
    assert [problem.code for problem in result.problems] == ["too_many_patterns"]


def problems_of(config: dict[str, Any]) -> list[Any]:
    raw = document()
    raw["nodes"][0]["config"] = config
    ir = parse_ir(raw).ir
    assert ir is not None
    return check_types(ir)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("act", "text"),
    [
        (lambda text: split_secrets({"x": text}), "://" + ":" * 1_000_000),
        (lambda text: split_secrets({"x": text}), "://a:" * 200_000),
        (PARAMETER.search, "{{" * 500_000),
        (PARAMETER.search, "{{ " * 300_000),
        (has_utc_dtstart, "DTSTART:" * 125_000),
        (_unfenced, "```" + " " * 1_000_000),
        (_unfenced, "```" + " \n" * 500_000 + "```"),
    ],
)
def test_our_own_patterns_take_no_longer_for_a_text_that_is_made_for_them(
    act: Callable[[str], object], text: str
) -> None:
    act(text)


def test_and_find_what_they_found() -> None:
    for url, secret in (
        ("https://user:pass@host/x", True),
        ("https://:pass@host", True),
        ("https://user:a:b@host", True),
        ("https://user@host:80/", False),
        ("https://host/a:b@c", False),
        ("https://user:@host", False),
    ):
        assert bool(split_secrets({"x": url})[1]) is secret, url
    assert has_utc_dtstart("DTSTART:20240101T000000Z\nRRULE:FREQ=DAILY")
    assert not has_utc_dtstart("DTSTART:20240101T000000 RRULE:Z=1")
    assert _unfenced(' ```json\n{"a": 1}\n``` ').strip() == '{"a": 1}'
    assert _unfenced("``` ```").strip() == ""
    assert _unfenced("`````") == "`````"
    assert PARAMETER.search("x{{ name }}y")
