"""Every page of the console as a browser visits it: where it is, what is done there, and what is seen then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from headrace.api.app import BASE_PATH
from tests.api.conftest import Facade, created
from tests.api.console.worlds import World, checked_ir, new_world
from tests.network_postgres import NetworkPostgres
from tests.replicated import document
from tests.security.served import served


@dataclass(frozen=True)
class View:
    """`path` has the names of a Site's `places`. `routes` are those that a browser asks for, and `templates` those that
    it sees, besides what other views have. `do` is pressed, one after the other, by keyboard; `seen` is there then.
    `status` is what the page, or a part of it, is refused with. `polls` is for a page that asks again by itself."""

    path: str
    routes: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    do: tuple[str, ...] = ()
    seen: str = "h1"
    status: int = 200
    logged_in: bool = True
    polls: bool = False


VIEWS: dict[str, View] = {
    "login": View("/login", ("console_login",), ("login.html",), logged_in=False),
    "documentation": View("/docs", ("api_docs",), ("api_docs.html",), seen=".opblock-tag-section", logged_in=False),
    "documentation, with the menu": View("/docs", seen=".opblock-tag-section"),
    "no page, before a login": View("/nothing", status=404, logged_in=False),
    "no page": View("/nothing", (), ("error.html",), status=404),
    "no pipeline": View("/pipelines/pipe_none", status=404),
    "home": View("/", ("console_home", "console_health"), ("home.html", "health_notes.html")),
    "nothing found": View("/?q=nothing+has+this"),
    "run": View("/runs/{run}", ("console_run", "console_error_groups"), ("run.html", "error_groups.html")),
    "log": View(
        "/runs/{run}", ("console_run_log_part",), ("run_log.html",), ("[name=level] >> option:Errors",),
        "#log-body td:has-text('No line matches')",
    ),
    "failed run": View("/runs/{failed}"),
    "waiting run": View("/runs/{waiting}", ("console_run_live",), (), seen="[sse-connect] .head"),
    "errors": View("/runs/{run}/errors", ("console_errors",), ("run_errors.html",)),
    "chosen errors": View("/runs/{run}/errors?kind=failed&node=check"),
    "whole row": View(
        "/runs/{run}/errors", ("console_error_row",), ("error_row.html",), ("button:has-text('Whole row') >> nth=0",),
        ".whole-row",
    ),
    "quarantine": View("/runs/{run}/quarantine", ("console_quarantine",), ("quarantine.html",)),
    "pipeline": View("/pipelines/{pipeline}", ("console_pipeline",), ("pipeline.html",)),
    "graph": View("/pipelines/{pipeline}/graph", ("console_graph",), ("pipeline_graph.html",), seen=".graph .node"),
    "versions": View("/pipelines/{pipeline}/versions?from=1&to=2", ("console_versions",), ("pipeline_versions.html",)),
    "publish": View(
        "/pipelines/{loaded}/versions", ("console_publish",), (), ("td button",), "tr:has-text('live')",
    ),
    "lineage": View("/pipelines/{pipeline}/lineage", ("console_lineage",), ("pipeline_lineage.html",)),
    "plan that cannot be": View(
        "/pipelines/{pipeline}/plan", ("console_plan",), ("pipeline_plan.html", "error_part.html"),
        seen="[role=alert]", status=422,
    ),
    "plan": View(
        "/pipelines/{loaded}/plan", ("console_plan_stages",), ("plan_stages.html",), ("summary >> nth=-1",), "pre.code"
    ),
    "preview": View(
        "/pipelines/{loaded}/plan?node=check", ("console_preview",), ("plan_rows.html",),
        seen="#rows .stack td:has-text('Must be greater than 1')",
    ),
    "settings": View("/pipelines/{pipeline}/settings", ("console_settings",), ("pipeline_settings.html",)),
    "editor": View(
        "/pipelines/{pipeline}/edit", ("console_edit", "console_check_document"),
        ("edit.html", "document_problems.html"), seen="text=It can be saved",
    ),
    "editor of JSON": View("/pipelines/{pipeline}/edit?as=json", seen="text=It can be saved"),
    "document": View("/pipelines/{pipeline}/edit?version=1"),
    "compared": View(
        "/pipelines/{pipeline}/edit?version=1", ("console_compare_document",), ("document_difference.html",),
        ("text=Compare with the live version",), "#difference .removed",
    ),
    "refused document": View(
        "/pipelines/{pipeline}/edit", ("console_save_document",), (),
        ("#text >> fill:kind: nothing", "text=Save and publish"), "text=Nothing was saved", status=400,
    ),
    "new pipeline": View("/pipelines/new", ("console_new_pipeline",), ("new_pipeline.html",)),
    "new, what to read": View(
        "/pipelines/new?connector={files}", ("console_new_streams",), (), seen="th a:has-text('orders.csv')",
    ),
    "new, columns": View(
        "/pipelines/new?connector={files}&stream=orders.csv", ("console_new_columns",), ("new_columns.html",),
        seen="[name='into.1']",
    ),
    "new, refused": View(
        "/pipelines/new?connector={files}&stream=orders.csv", ("console_create_guided",), (),
        ("[name='into.1'] >> fill:note", "text=Write the document"), "#refused .banner.bad", status=400,
    ),
    "new document": View(
        "/pipelines/new/document", ("console_new_document", "console_check_new"), ("new_document.html",),
        seen="#problems .status",
    ),
    "replications": View("/replications", ("console_replications",), ("replications.html",)),
    "replication": View("/replications/{replication}", ("console_replication",), ("replication.html",)),
    "run of a replication": View("/replications/{replication}/runs/{copied}", ("console_replication_run",)),
    "tables that are copied": View(
        "/replications/{replication}/runs/{copying}", ("console_replication_tables",), ("replication_tables.html",),
        polls=True,
    ),
    "plan of a replication": View(
        "/replications/{copies}", ("console_replication_plan",), ("replication_plan.html",),
        ("text=Look at the source",), "#plan table",
    ),
    "editor of a replication": View(
        "/replications/{copies}/edit", ("console_edit_replication", "console_check_replication"),
        ("replication_edit.html",), seen="#problems .status",
    ),
    "replication, compared": View(
        "/replications/{copies}/edit", ("console_compare_replication",), (),
        ("#text >> fill:kind: nothing", "text=Compare with the stored document"), "#difference .removed",
    ),
    "replication, plan of the text": View(
        "/replications/{copies}/edit", ("console_plan_replication_text",), (),
        ("text=What a run would do",), "#plan table",
    ),
    "connectors": View("/connectors", ("console_connectors",), ("connectors.html",)),
    "kinds of connectors": View("/connectors/new", ("console_new_connector",), ("connector_types.html",)),
    "connector form": View("/connectors/new?type=postgresql", (), ("connector_form.html",)),
    "connector form, tested": View(
        "/connectors/new?type=local_fs", ("console_test_form",), ("connector_tested.html",),
        ("[name=name] >> fill:x", "button:text-is('Test')"), "#tested .banner",
    ),
    "connector form with many settings": View("/connectors/new?type=rest_api"),
    "change of a connector": View("/connectors/{files}/edit", ("console_edit_connector",)),
    "connector": View("/connectors/{files}", ("console_connector",), ("connector.html",)),
    "uploads": View("/connectors/{uploads}"),
    "tested connector": View(
        "/connectors/{files}", ("console_test_connector",), (), ("button:text-is('Test')",), "text=It works"
    ),
    "streams": View(
        "/connectors/{files}", ("console_streams", "console_stream", "console_stream_rows"),
        ("streams.html", "stream.html", "stream_rows.html"),
        ("button:text-is('Look')", "#streams button:text-is('orders.csv')", "text=Show its first rows"),
        "#sampled td:text-is('3.75')",
    ),
    "schemas": View("/schemas", ("console_schemas",), ("schemas.html",)),
    "schema": View(
        "/schemas/{schema}", ("console_schema", "console_statistics"), ("schema.html", "schema_statistics.html"),
        seen="text=counted",
    ),
    "calendar": View("/calendar?all=true", ("console_calendar",), ("calendar.html",)),
    "audit": View("/audit", ("console_audit",), ("audit.html",)),
    "verified audit": View(
        "/audit", ("console_verify_audit",), ("audit_verified.html",), ("text=Verify the log",),
        "text=The log is intact",
    ),
    "keys": View("/keys", ("console_keys",), ("keys.html",)),
    "new key": View(
        "/keys", ("console_create_key",), (), ("#name >> fill:by hand", "text=Make the key"), "#made"
    ),
    "revocation": View("/keys", (), (), ("summary >> nth=0",), "[name=reason]"),
}  # fmt: skip
"""Everything that people see, with `APART` and `DOWNLOADS`."""

APART = {"again.html", "confirm_publish.html", "quarantine_tried.html"}
"""Templates without a view: a page that asks for itself again, and what needs rows that a run of Prefect has loaded."""

DOWNLOADS = {"console_errors_csv", "console_run_log", "console_run_stream", "console_file"}
"""Routes without a page."""

UNTRIED = {"console_try_quarantine"}
"""Routes whose pages need what `APART` needs."""


@dataclass(frozen=True)
class Site:
    """A served console: its address, and the ids in the paths of views."""

    base: str
    facade: Facade
    world: World
    places: dict[str, str] = field(default_factory=dict)

    def path(self, view: View) -> str:
        return view.path.format(**self.places)


def loading_ir() -> dict[str, Any]:
    """A document of a file that is there, with a row that fails and one that passes."""
    ir = checked_ir()
    source, check, target = ir["nodes"]
    source = {**source, "fields": [{"name": name, "dataType": "integer"} for name in ("amount",)]}
    check = {**check, "rowLevel": [{**check["rowLevel"][0], "rule": "gt:1"}]}
    target = {**target, "schema": "public.ds_loaded"}
    return {**ir, "metadata": {"name": "loading"}, "nodes": [source, check, target]}


@contextmanager
def site_of(facade: Facade, folder: Path, network_postgres: NetworkPostgres) -> Iterator[Site]:
    """A console with something on every page: a pipeline with runs, one whose file is there, connectors that work, and
    a replication whose source can be looked at."""
    (folder / "in").mkdir()
    (folder / "in" / "orders.csv").write_text("id,Amount due,note\n1,2.50,a\n2,3.75,b\n")
    (folder / "orders.csv").write_text("amount\n5\n0\n")
    world = new_world(facade, "Orders <b>of the shop</b>")
    facade.editor.post(f"{BASE_PATH}/schemas/{world.schema_id}/data", json={"rows": [{"amount": 1}]})
    facade.pipeline("nightly", schedule="0 2 * * *")
    loaded = facade.pipeline("loaded", ir=loading_ir())["id"]
    *before, target = loading_ir()["nodes"]
    lossy = {**loading_ir(), "nodes": [*before, {**target, "loadMode": "truncate"}]}
    saved = facade.editor.post(f"{BASE_PATH}/pipelines/{loaded}/ir?publish=false", json={"ir": lossy})
    assert saved.status_code == 201, saved.text
    login = {"config": network_postgres.config, "authConfig": network_postgres.credentials}
    shop = {"name": "shop", "type": "postgresql", **login}
    drop = {"name": "drop", "type": "local_fs", "config": {"basePath": "in"}}
    files, uploads, database = (
        created(facade.editor, f"{BASE_PATH}/connectors", body)["id"]
        for body in (drop, {"name": "uploads", "type": "csv_upload"}, shop)
    )
    copying = document("copies", database) | {"sources": {"include": ["public.*"]}}
    copies = created(facade.editor, f"{BASE_PATH}/replications", {"document": copying})["id"]
    places = {
        **{"pipeline": world.pipeline_id, "run": world.run_id, "failed": world.failed_id, "waiting": world.waiting_id},
        **{"schema": world.schema_id, "replication": world.replication_id, "copied": world.copied_id},
        **{"copying": world.copying_id, "loaded": loaded, "files": files, "uploads": uploads, "copies": copies},
    }
    allowed = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
    with served(facade, rate_limit=0, files_root=folder, connector_networks=allowed) as api:
        yield Site(f"http://127.0.0.1:{api.port}", facade, world, places)
