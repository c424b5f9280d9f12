"""Errors of a run over REST: filters, pages, totals, CSV."""

from __future__ import annotations

import csv
import io
import json

import pytest

from tests.api.conftest import Facade, error_of
from tests.api.runs.reports import begin, path, reject

pytestmark = pytest.mark.postgres


@pytest.fixture
def pipeline(facade: Facade) -> str:
    return str(facade.pipeline()["id"])


MORE = {"node": "check", "rule": "rule", "kind": "failed", "stage": 0, "file": None, "source": None, "sources": []}


def several(facade: Facade, run_id: str) -> None:
    """Six errors of two nodes and files; one is a warning, one of a join."""
    for node, stage, rule, file, warning, rows in (
        ("src", 0, "type", "a.csv", False, [1, 2]),
        ("check", 0, "email", "b.csv", False, [3]),
        ("check", 0, "late", "b.csv", True, [3, 4]),
    ):
        cells = [
            {"row": row, "column": rule, "value": "x", "error": f"Bad {rule}", "rule": rule}
            | {"sources": json.dumps([{"node": "src", "file": file, "row": row}])}
            for row in rows
        ]
        facade.store.cells.add(run_id, run_id, node, stage, 0, cells=json.dumps(cells), warning=warning)
    both = [{"node": "l", "file": "a.csv", "row": 9}, {"node": "r", "file": "=b.csv", "row": 1}]
    lonely = {"row": 1, "column": "", "error": "Refused", "rule": "23514", "sources": json.dumps(both)}
    facade.store.cells.add(run_id, run_id, "tgt", 2, 1, cells=json.dumps([lonely]))


class TestErrors:
    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("", ["1 src", "1 tgt", "2 src", "3 check"]),
            ("kind=failed", ["1 src", "1 tgt", "2 src", "3 check"]),
            ("kind=warned", ["3 check", "4 check"]),
            ("kind=all", ["1 src", "1 tgt", "2 src", "3 check", "3 check", "4 check"]),
            ("node=src", ["1 src", "2 src"]),
            ("node=check&kind=all&rule=late", ["3 check", "4 check"]),
            ("column=email", ["3 check"]),
            ("column=", ["1 tgt"]),
            ("file=b.csv", ["3 check"]),
            ("file=a.csv", ["1 src", "1 tgt", "2 src"]),
            ("file=%3Db.csv", ["1 tgt"]),
            ("stage=2", ["1 tgt"]),
            ("node=nobody", []),
        ],
    )
    def test_they_are_those_that_are_asked_for(
        self, facade: Facade, pipeline: str, query: str, found: list[str]
    ) -> None:
        run_id = begin(facade, pipeline)
        several(facade, run_id)
        listed = facade.viewer.get(path(pipeline, "runs", run_id, f"errors?{query}")).json()
        assert sorted(f"{each['row']} {each['node']}" for each in listed["errors"]) == found
        assert (listed["total"], listed["warned"]) == (len(found), 2)
        accept = {"Accept": "text/csv"}
        lines = facade.viewer.get(path(pipeline, "runs", run_id, f"errors?{query}"), headers=accept).text.splitlines()
        assert len(lines) == 1 + len(found)

    def test_they_are_asked_for_page_by_page(self, facade: Facade, pipeline: str) -> None:
        run_id = begin(facade, pipeline)
        several(facade, run_id)
        query, seen = "", []
        while True:
            page = facade.viewer.get(path(pipeline, "runs", run_id, f"errors?limit=1&kind=warned{query}")).json()
            seen += [each["row"] for each in page["errors"]]
            if (cursor := page["pagination"]["cursor"]) is None:
                break
            query = f"&cursor={cursor}"
        assert seen == [3, 4]

    def test_each_says_what_broke_it_and_where_its_row_comes_from(self, facade: Facade, pipeline: str) -> None:
        run_id = begin(facade, pipeline)
        several(facade, run_id)
        [error] = facade.viewer.get(path(pipeline, "runs", run_id, "errors?node=tgt")).json()["errors"]
        assert error == {
            **{"row": 1, "column": None, "value": None, "error": "Refused", "node": "tgt", "rule": "23514"},
            **{"kind": "failed", "stage": 2, "file": "a.csv", "source": {"node": "l", "file": "a.csv", "row": 9}},
            "sources": [{"node": "l", "file": "a.csv", "row": 9}, {"node": "r", "file": "=b.csv", "row": 1}],
        }
        query, accept = "errors?node=tgt&details=true", {"Accept": "text/csv"}
        header, line = csv.reader(
            io.StringIO(facade.viewer.get(path(pipeline, "runs", run_id, query), headers=accept).text)
        )
        assert header == [
            "Row",
            "Column",
            "Value",
            "Error",
            "Node",
            "Rule",
            "Kind",
            "Stage",
            "File",
            "File row",
            "Sources",
        ]
        reported = ["tgt", "23514", "failed", "2", "a.csv", "9", "l: a.csv row 9; r: =b.csv row 1"]
        assert line == ["1", "", "", "Refused", *reported]

    def test_warnings_are_no_validation_errors_of_the_progress(self, facade: Facade, pipeline: str) -> None:
        run_id = begin(facade, pipeline)
        several(facade, run_id)
        progress = facade.viewer.get(path(pipeline, "runs", run_id, "progress")).json()
        assert sorted(each["row"] for each in progress["validationErrors"]) == [1, 1, 2, 3]

    def test_they_are_totalled(self, facade: Facade, pipeline: str) -> None:
        run_id = begin(facade, pipeline)
        several(facade, run_id)
        summary = facade.viewer.get(path(pipeline, "runs", run_id, "errors", "summary")).json()
        totals = [[*each.values()] for each in summary.pop("totals")]
        assert summary == {"runId": run_id, "failed": 4, "warned": 2, "more": False}
        assert totals == [
            ["check", "late", "warned", "late", "b.csv", "Bad late", 2, 2],
            ["src", "type", "failed", "type", "a.csv", "Bad type", 2, 2],
            ["check", "email", "failed", "email", "b.csv", "Bad email", 1, 1],
            ["tgt", "23514", "failed", None, "a.csv", "Refused", 1, 1],
        ]
        only = facade.viewer.get(path(pipeline, "runs", run_id, "errors", "summary?kind=failed&node=check")).json()
        assert (only["failed"], only["warned"], len(only["totals"])) == (1, 0, 1)

    @pytest.mark.parametrize(
        "query", ["kind=lost", "stage=x", f"stage={2**31}", "node=" + "x" * 301, "node=%00", "file=a%00"]
    )
    def test_a_filter_that_is_none_is_400(self, facade: Facade, pipeline: str, query: str) -> None:
        run_id = begin(facade, pipeline)
        for place in ("errors", "errors/summary"):
            error_of(facade.viewer.get(path(pipeline, "runs", run_id, f"{place}?{query}")), 400)

    def test_json_is_the_documented_shape(self, facade: Facade, pipeline: str) -> None:
        run_id = begin(facade, pipeline)
        reject(facade, run_id, [(305, "age", "abc", "Expected integer"), (142, None, None, "Ragged line")])
        assert facade.viewer.get(path(pipeline, "runs", run_id, "errors")).json() == {
            "runId": run_id,
            "total": 2,
            "errors": [
                {"row": 142, "column": None, "value": None, "error": "Ragged line"} | MORE,
                {"row": 305, "column": "age", "value": "abc", "error": "Expected integer"} | MORE,
            ],
        }

    def test_beyond_1000_there_is_a_cursor(self, facade: Facade, pipeline: str) -> None:
        run_id = begin(facade, pipeline)
        reject(facade, run_id, [(row, "a", "b", "c") for row in range(1, 2502)])
        rows: list[int] = []
        query = ""
        for _ in range(3):
            page = facade.viewer.get(path(pipeline, "runs", run_id, f"errors{query}")).json()
            assert page["total"] == 2501
            rows += [error["row"] for error in page["errors"]]
            query = f"?cursor={page['pagination']['cursor']}"
        assert rows == list(range(1, 2502))
        assert page["pagination"] == {"total": 2501, "hasMore": False, "limit": 1000, "cursor": None}

    @pytest.mark.parametrize("query", ["limit=0", "limit=1001", "cursor=nonsense", "cursor=WyJhIl0"])
    def test_a_bad_page_is_400(self, facade: Facade, pipeline: str, query: str) -> None:
        run_id = begin(facade, pipeline)
        error_of(facade.viewer.get(path(pipeline, "runs", run_id, f"errors?{query}")), 400)

    def test_csv_has_every_error_a_header_and_a_name(self, facade: Facade, pipeline: str) -> None:
        run_id = begin(facade, pipeline)
        reject(facade, run_id, [(row, "a", 'x,"y"\nz', "c") for row in range(1, 4502)])
        response = facade.viewer.get(path(pipeline, "runs", run_id, "errors"), headers={"Accept": "text/csv"})
        assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
        disposition = f'attachment; filename="pipeline-run-{run_id}-errors.csv"'
        assert response.headers["Content-Disposition"] == disposition
        lines = list(csv.reader(io.StringIO(response.text, newline="")))
        assert lines[0] == ["Row", "Column", "Value", "Error"]
        assert lines[1:] == [[str(row), "a", 'x,"y"\nz', "c"] for row in range(1, 4502)]

    def test_csv_of_no_errors_is_its_header(self, facade: Facade, pipeline: str) -> None:
        run_id = begin(facade, pipeline)
        response = facade.viewer.get(path(pipeline, "runs", run_id, "errors"), headers={"Accept": "text/csv"})
        assert response.text == "Row,Column,Value,Error\r\n"

    def test_csv_of_a_foreign_run_is_an_envelope(self, facade: Facade, pipeline: str) -> None:
        run_id = begin(facade, pipeline)
        error_of(facade.foreign.get(path(pipeline, "runs", run_id, "errors"), headers={"Accept": "text/csv"}), 404)
