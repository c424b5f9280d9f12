"""Files: tenants are separated despite paths, links and races; and only regular files are opened."""

from __future__ import annotations

import ast
import os
import socket
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from headrace.api.app import BASE_PATH
from headrace.catalog.files_roots import FilesRoots, folder_name, overlaps
from headrace.connectors.errors import SourceError
from headrace.connectors.files.formats.csv import Csv
from headrace.connectors.files.local.local_fs import local_files
from headrace.connectors.files.local.local_store import LocalStore
from headrace.connectors.files.local.safe_open import RootedFolder
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.files.source import FileSource
from headrace.connectors.source import Batch
from headrace.deployments.errors import HeadraceError
from headrace.deployments.stack.layout import Layout
from headrace.deployments.stack.tenant_folders import make_folders, roots_of
from tests.api.conftest import IR, Facade, created, settings_for

HOUSE = Path(__file__).parents[2]
SECRET = "amount\n4711.4711\n"

odd = ["..", ".", "", "/", "a/b", "A", "a", "default", "Default", "%41", "é", "e\u0301", "\0"]
tenants = st.text(max_size=20) | st.sampled_from(odd)


class TestWhereATenantsFilesAre:
    @given(tenants)
    def test_a_folder_is_one_plain_name(self, tenant: str) -> None:
        name = folder_name(tenant)
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-%ABCDEF")
        assert name not in ("", ".", "..")

    @given(tenants, tenants)
    def test_two_tenants_never_share_one_nor_have_one_in_the_other(self, one: str, other: str) -> None:
        roots = FilesRoots(Path("/srv/files"))
        if one == other:
            return
        first, second = roots.of(one), roots.of(other)
        assert str(first).lower() != str(second).lower()  # also where a file system knows no capitals
        assert not first.is_relative_to(second)
        assert not second.is_relative_to(first)

    def test_the_tenant_default_keeps_the_files_folder_and_others_are_beside_it(self) -> None:
        roots = FilesRoots(Path("/srv/files"), {"shop": Path("/mnt/shop")})
        assert roots.of("default") == Path("/srv/files")
        assert roots.of("acme") == Path("/srv/files.tenants/acme")
        assert roots.of("Acme") == Path("/srv/files.tenants/%41cme")
        assert roots.of("..") == Path("/srv/files.tenants/%2E%2E")
        assert roots.of("shop") == Path("/mnt/shop")

    @pytest.mark.parametrize(
        "given_roots",
        [
            {"shop": "/srv/files"},
            {"shop": "/srv/files/shop"},
            {"shop": "/srv"},
            {"shop": "/"},
            {"shop": "/srv/files.tenants"},
            {"shop": "/srv/files.tenants/acme"},
            {"shop": "/srv/files/../files/x"},
            {"shop": "/srv/shop", "acme": "/srv/shop/acme"},
            {"shop": "/srv/staging/x"},
            {"shop": "relative"},
            {"default": "/srv/elsewhere"},
        ],
    )
    def test_folders_that_lie_in_each_other_are_no_settings(self, given_roots: dict[str, str]) -> None:
        with pytest.raises(ValidationError, match="folders of files"):
            settings_for("postgresql://x", files_root=Path("/srv/files"), files_roots=given_roots)

    def test_nor_are_those_that_do_so_after_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "files").mkdir()
        (tmp_path / "shop").symlink_to(tmp_path / "files")
        with pytest.raises(ValidationError, match="folders of files"):
            settings_for("postgresql://x", files_root=tmp_path / "files", files_roots={"shop": str(tmp_path / "shop")})
        assert list(overlaps({"one": tmp_path / "files", "other": tmp_path / "shop"}))

    @pytest.mark.parametrize("staging", ["/srv/files/staging", "/srv", "file:///srv/files", "/srv/files.tenants/x"])
    def test_rows_of_all_tenants_are_never_staged_where_one_reads(self, staging: str) -> None:
        with pytest.raises(ValidationError, match="folders of files"):
            settings_for("postgresql://x", files_root=Path("/srv/files"), staging_url=staging)

    def test_a_stack_refuses_a_map_it_cannot_read(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        for text in ("[]", "{", '{"shop": 1}', '{"shop": "files"}'):
            monkeypatch.setenv("HEADRACE_FILES_ROOTS", text)
            with pytest.raises(HeadraceError):
                roots_of(tmp_path / "files")

    def test_only_one_place_turns_a_tenant_into_a_folder(self) -> None:
        """Whoever opens files needs a FilesRoot, which the type checker lets nobody else make; and nobody else looks
        at the setting itself."""
        makers, readers = set(), set()
        for room in ("api", "flows", "connectors", "catalog"):
            for path in (HOUSE / room).rglob("*.py"):
                for node in ast.walk(ast.parse(path.read_text())):
                    where = path.relative_to(HOUSE).as_posix()
                    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "FilesRoot":
                        makers.add(where)
                    if isinstance(node, ast.Attribute) and node.attr in ("files_root", "files_roots"):
                        readers.add((where, ast.unparse(node.value)))
        # in a process of its own, `headrace.Pipeline` reads what its caller may
        assert makers == {"flows/tenant_files.py", "flows/in_process/job.py"}
        assert {(where, of) for where, of in readers if of not in ("job", "context.surroundings")} == {
            ("catalog/settings.py", "self"),
            ("flows/runtime/job.py", "self"),
        }


# ── over REST ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def folders(facade: Facade, tmp_path: Path) -> Iterator[FilesRoots]:
    """The files of the tenants `default` (who has a secret) and `other` (who wants it)."""
    services = facade.app.state.services
    settings = services.settings.model_copy(update={"files_root": tmp_path / "files"})
    roots: FilesRoots = settings.roots
    for tenant in ("default", "other"):
        roots.of(tenant).mkdir(parents=True, exist_ok=True)
    roots.of("default").joinpath("secret.csv").write_text(SECRET)
    (roots.of("default") / "in").mkdir()
    (roots.of("default") / "in" / "secret.csv").write_text(SECRET)
    roots.of("other").joinpath("own.csv").write_text("amount\n1\n")
    facade.app.state.services = replace(services, settings=settings)
    yield roots
    facade.app.state.services = replace(facade.app.state.services, settings=services.settings)


def ways_to(root: Path) -> list[str]:
    """How somebody beside that folder might name it."""
    return [
        str(root),
        f"/{root}",
        f"file://{root}",
        f"file:{root}",
        f"../../{root.name}",
        f"../{root.name}",
        f"x/../../../{root.name}",
        f"..\\..\\{root.name}",
        f"..%2f..%2f{root.name}",
        f"\u2025/\u2025/{root.name}",  # one character that looks like two dots
        f"\uff0e\uff0e/\uff0e\uff0e/{root.name}",
        f"~/../..{root}",
        "/proc/self/root" + str(root),
        "/proc/self/cwd",
        ".",
        "",
        "./",
        "default",
        "../default",
    ]


def told_nothing(response: Any, roots: FilesRoots, sent: str = "") -> None:
    """Neither what another tenant has nor where anything is on the server; what was sent may come back."""
    assert response.status_code < 500, response.text
    places = [str(roots.default.parent)] if str(roots.default.parent) not in sent else []
    for word in ["4711.4711", *([] if "secret" in sent else ["secret"]), *places]:
        assert word not in response.text, response.text


@pytest.mark.postgres
class TestAnotherTenantsFiles:
    def test_a_connection_test_lists_ones_own_alone(self, facade: Facade, folders: FilesRoots) -> None:
        own = facade.editor.post(f"{BASE_PATH}/connectors/test", json={"type": "local_fs"}).json()
        assert [file["name"] for file in own["sample"]["files"]] == ["secret.csv"]
        for way in ways_to(folders.default):
            config = {"basePath": way} if way else {}
            response = facade.foreign.post(f"{BASE_PATH}/connectors/test", json={"type": "local_fs", "config": config})
            told_nothing(response, folders, way)
            if response.is_success and response.json()["ok"]:
                assert [file["name"] for file in response.json()["sample"]["files"]] == ["own.csv"]

    def test_plans_and_previews_read_ones_own_alone(self, facade: Facade, folders: FilesRoots) -> None:
        for client, sees in ((facade.editor, True), (facade.foreign, False)):
            path = self.pipeline(client, {"path": "secret.csv"})
            assert client.post(f"{path}/plan", json={}).is_success is sees
            assert ("4711.4711" in client.post(f"{path}/preview", json={}).text) is sees
        for way in ways_to(folders.default):
            for config in ({"path": f"{way}/secret.csv"}, {"path": f"{way}/", "pattern": "*.csv"}):
                document = self.document(config)
                saved = facade.foreign.post(f"{path}/ir", json={"ir": document})
                assert saved.is_success
                for action in ("plan", "preview"):
                    response = facade.foreign.post(f"{path}/{action}", json={})
                    told_nothing(response, folders, config["path"])
                    assert response.status_code == 422 or config["path"].strip("./") == ""

    @pytest.mark.parametrize("action", ["plan", "preview"])
    def test_parameters_do_not_lead_there_either(self, facade: Facade, folders: FilesRoots, action: str) -> None:
        path = self.pipeline(facade.foreign, {"path": "{{where}}"}, parameters={"where": "own.csv"})
        own = facade.foreign.post(f"{path}/{action}", json={"parameters": {"where": "own.csv"}})
        assert own.is_success
        for way in ways_to(folders.default):
            asked = {"parameters": {"where": f"{way}/secret.csv"}}
            response = facade.foreign.post(f"{path}/{action}", json=asked)
            assert response.status_code in (400, 422), (way, response.text)
            assert "4711.4711" not in response.text

    def test_an_error_names_no_place_on_the_server(self, facade: Facade, folders: FilesRoots) -> None:
        path = self.pipeline(facade.foreign, {"path": "nowhere/x.csv"})
        (folders.of("other") / "locked").mkdir(mode=0)
        (folders.of("other") / "pipe.csv").symlink_to(folders.default / "secret.csv")
        for config in (
            {"path": "nowhere/x.csv"},
            {"path": "pipe.csv"},
            {"path": "own.csv/x"},
            {"path": "locked/x.csv"},
            {"path": "x" * 300},
            {"path": "own.csv", "format": "parquet"},
            {"path": "own.csv", "format": "orc"},
        ):
            assert facade.foreign.post(f"{path}/ir", json={"ir": self.document(config)}).is_success
            response = facade.foreign.post(f"{path}/plan", json={})
            assert response.status_code == 422
            told_nothing(response, folders)

    def test_a_folder_that_is_not_there_is_reported_without_its_place(
        self, facade: Facade, folders: FilesRoots
    ) -> None:
        (folders.of("other") / "own.csv").unlink()
        folders.of("other").rmdir()
        response = facade.foreign.post(f"{BASE_PATH}/connectors/test", json={"type": "local_fs"})
        told_nothing(response, folders)
        assert "files folder does not exist" in response.json()["message"]

    def document(self, config: dict[str, Any]) -> dict[str, Any]:
        source, target = IR["nodes"]
        return {**IR, "nodes": [{**source, "config": config}, {**target, "schema": self.table}]}

    def pipeline(self, client: TestClient, config: dict[str, Any], **kwargs: Any) -> str:
        connector = created(client, f"{BASE_PATH}/connectors", {"name": "files", "type": "local_fs"})
        fields = [{"name": "amount", "dataType": "integer"}]
        schema = created(client, f"{BASE_PATH}/schemas", {"name": "sums", "displayName": "Sums", "fields": fields})
        self.table = f"public.{schema['tableName']}"
        ids = {"connectorId": connector["id"], "schemaId": schema["id"]}
        body = {"name": "sums", **ids, "irVersion": "1.0", "ir": self.document(config)}
        return f"{BASE_PATH}/pipelines/{created(client, f'{BASE_PATH}/pipelines', body)['id']}"


# ── links, moments, and what is no file ───────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tenant's folder, with somebody else's file beside it."""
    (tmp_path / "mine" / "in").mkdir(parents=True)
    (tmp_path / "mine" / "in" / "a.csv").write_text("amount\n1\n")
    os.utime(tmp_path / "mine" / "in" / "a.csv", (1000, 1000))
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "a.csv").write_text(SECRET)
    return tmp_path / "mine"


def amounts(files: FileSource) -> list[int]:
    found = files.discover(max_partitions=1)
    return [
        value
        for part in found.partitions
        for batch in files.read(part, found.schema)
        for value in batch.frame["amount"]
    ]


def of(root: Path, **config: Any) -> FileSource:
    return local_files(config, files_root=FilesRoot(root))


class TestLinks:
    @pytest.mark.parametrize("link", ["theirs/a.csv", "theirs", "."])
    def test_what_leads_out_is_neither_read_nor_listed_nor_taken(self, root: Path, link: str) -> None:
        target = root.parent / link
        (root / "in" / "0.csv").symlink_to(target)
        name = "in/0.csv" if target.is_file() else f"in/0.csv/{'a.csv' if link == 'theirs' else 'theirs/a.csv'}"
        for config in ({"path": name}, {"path": name, "atomicity": {}}):
            files = of(root, **config)
            with pytest.raises(SourceError, match="not inside the files folder"):
                amounts(files)
            with pytest.raises(SourceError, match="not inside the files folder"):
                files.arrivals.look("run_1/src", datetime.now(UTC))
        assert amounts(of(root, path="in", pattern="*.csv", ordering="process_all")) == [1]

    @pytest.mark.parametrize("folder", ["stagingFolder", "successFolder", "failureFolder"])
    def test_a_file_is_not_moved_out_through_a_folder_that_is_a_link(self, root: Path, folder: str) -> None:
        (root / "in" / "put").symlink_to(root.parent / "theirs")
        files = of(root, path="in", pattern="*.csv", atomicity={folder: "put"})
        look = files.arrivals.look("run_1/src", datetime.now(UTC))
        with pytest.raises(SourceError, match="not inside the files folder"):
            files.arrivals.claim("run_1/src", look)
        assert [path.name for path in (root.parent / "theirs").iterdir()] == ["a.csv"]
        assert (root / "in" / "a.csv").exists()

    def test_links_within_the_folder_are_followed(self, root: Path) -> None:
        (root / "in" / "b.csv").symlink_to("a.csv")
        (root / "again").symlink_to(root / "in")
        assert amounts(of(root, path="in", pattern="b.csv")) == [1]
        assert amounts(of(root, path="again/a.csv")) == [1]

    def test_a_link_put_there_between_look_and_read_shows_nothing(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """At the worst moment: all that can be looked at was looked at."""

        def swap() -> None:
            (root / "in" / "a.csv").rename(root / "in" / "was.csv")
            (root / "in" / "a.csv").symlink_to(root.parent / "theirs" / "a.csv")

        files = of(root, path="in/a.csv")
        found = files.discover(max_partitions=1)
        after_the_check(monkeypatch, swap)
        [batch] = files.read(found.partitions[0], found.schema)
        assert batch.frame["amount"].to_list() == [1]

    def test_a_folder_that_becomes_a_link_at_the_last_moment_moves_nothing_out(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (root / "done").mkdir()

        def swap() -> None:
            (root / "done").rename(root / "was")
            (root / "done").symlink_to(root.parent / "theirs")

        store = LocalStore(FilesRoot(root))
        after_the_check(monkeypatch, swap)
        store.put("in/a.csv", "done/b.csv")
        assert not (root.parent / "theirs" / "b.csv").exists()
        assert (root / "was" / "b.csv").exists()

    def test_a_record_of_a_claim_leads_nowhere_else(self, root: Path) -> None:
        record = root / "in" / ".processing" / ".claims" / "_1" / "run_1.src.json"
        record.parent.mkdir(parents=True)
        place = {"name": "in/a.csv", "place": "../theirs/a.csv", "size": 12, "version": "1"}
        record.write_text(__import__("json").dumps({"files": [place]}))
        arrivals = of(root, path="in", atomicity={}).arrivals
        with pytest.raises(SourceError, match="not inside the files folder"):
            arrivals.located("run_1/src", whole=True)
        with pytest.raises(SourceError, match="not inside the files folder"):
            arrivals.located("run_1/src", record="../theirs/a.csv", whole=True)


def after_the_check(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Does it once, right after the last check of a path."""
    check, left = RootedFolder.check, [act]

    def checking(self: RootedFolder, opened: int, name: str) -> None:
        check(self, opened, name)
        if left:
            left.pop()()

    monkeypatch.setattr(RootedFolder, "check", checking)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))  # the endless zeros of /dev/zero
    except PermissionError:
        pytest.skip("only root makes devices")


def listening(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the path of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("make", "called"), [(pipe, "a pipe"), (device, "a device"), (listening, "a socket")])
class TestWhatIsNoFile:
    def test_it_is_never_opened(self, root: Path, make: Callable[[Path], None], called: str) -> None:
        make(root / "in" / "0.csv")
        for config in ({"path": "in/0.csv"}, {"path": "in/0.csv", "atomicity": {}}):
            with pytest.raises(SourceError, match=f"'in/0.csv' is {called}") as caught:
                amounts(of(root, **config))
            assert caught.value.code == "not_a_file"
        assert amounts(of(root, path="in", pattern="*.csv", ordering="process_all")) == [1]
        waiting = of(root, path="in/0.csv", atomicity={}).arrivals
        with pytest.raises(SourceError, match=called):
            waiting.look("run_1/src", datetime.now(UTC))

    def test_nor_when_it_takes_the_place_of_a_file(
        self, root: Path, make: Callable[[Path], None], called: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        files = of(root, path="in/a.csv")
        found = files.discover(max_partitions=1)
        (root / "in" / "a.csv").unlink()
        make(root / "in" / "a.csv")
        with pytest.raises(SourceError, match=called):
            list(files.read(found.partitions[0], found.schema))

    def test_nor_as_a_record_of_a_claim(self, root: Path, make: Callable[[Path], None], called: str) -> None:
        folder = root / "in" / ".processing" / ".claims" / "_1"
        folder.mkdir(parents=True)
        make(folder / "run_1.src.json")
        with pytest.raises(SourceError, match=called):
            of(root, path="in", atomicity={}).arrivals.located("run_1/src", whole=True)


class TestFilesThatChange:
    def test_one_that_grew_or_shrank_after_the_plan_is_reported(self, root: Path) -> None:
        for text in ("amount\n1\n2\n", "amount\n", "amount\n2\n"):
            (root / "in" / "a.csv").write_text("amount\n1\n")
            os.utime(root / "in" / "a.csv", (1000, 1000))
            files = of(root, path="in/a.csv")
            found = files.discover(max_partitions=1)
            (root / "in" / "a.csv").write_text(text)
            with pytest.raises(SourceError, match="changed while the run read it") as caught:
                list(files.read(found.partitions[0], found.schema))
            assert (caught.value.code, caught.value.file) == ("source_changed", None)

    @pytest.mark.parametrize("change", ["grows", "shrinks", "breaks"])
    def test_one_that_changes_while_it_is_read_is_reported(self, root: Path, change: str) -> None:
        path = root / "in" / "a.csv"
        files = local_files({"path": "in/a.csv"}, files_root=FilesRoot(root), formats={"csv": Meddled(path, change)})
        found = files.discover(max_partitions=1)
        with pytest.raises(SourceError, match="changed while the run read it"):
            list(files.read(found.partitions[0], found.schema))

    def test_one_that_changes_while_it_is_looked_at_is_still_being_written(self, root: Path) -> None:
        path = root / "in" / "a.csv"

        class Writing(Csv):
            def inspect(self, *args: Any, **kwargs: Any) -> Any:
                found = super().inspect(*args, **kwargs)
                path.write_text("amount\n1\n2\n")
                return found

        files = local_files({"path": "in/a.csv"}, files_root=FilesRoot(root), formats={"csv": Writing({})})
        with pytest.raises(SourceError, match="still being written") as caught:
            files.discover(max_partitions=1)
        assert caught.value.file is None  # it is no bad file

    @pytest.mark.timeout(60)
    def test_an_endless_hole_is_refused_at_its_first_line(self, root: Path) -> None:
        with (root / "in" / "hole.csv").open("wb") as file:
            file.truncate(1 << 38)  # 256 GB of nothing
        with pytest.raises(SourceError):
            of(root, path="in/hole.csv").discover(max_partitions=4)


class Meddled(Csv):
    """CSV files one of which changes while it is read."""

    def __init__(self, path: Path, change: str) -> None:
        super().__init__({})
        self._path, self._change = path, change

    def read(self, *args: Any, **kwargs: Any) -> Iterator[Batch]:
        yield from super().read(*args, **kwargs)
        if self._change == "grows":
            with self._path.open("a") as file:
                file.write("2\n")
        else:
            os.truncate(self._path, 3)
        if self._change == "breaks":
            raise ValueError("whatever a reader says of half a file")


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "x" * 300, "a/" * 3000 + "b", "in/a.csv/b", "\x01", "a\nb", "..."])
def test_any_text_is_a_path_or_an_error_that_is_reported(root: Path, name: str) -> None:
    with pytest.raises(SourceError):
        amounts(of(root, path=name))
    with pytest.raises(SourceError):
        of(root, path="in/", pattern=name).discover(max_partitions=1)
    assert of(root, path="in/a.csv").listing()


def test_a_name_that_is_no_text_is_reported_and_never_breaks_an_answer(root: Path) -> None:
    path = os.fsencode(root / "in") + b"/caf\xe9.csv"
    with open(path, "wb") as file:
        file.write(b"amount\n1\n")
    with pytest.raises(SourceError, match="not UTF-8") as caught:
        amounts(of(root, path="in", pattern="caf*"))
    str(caught.value).encode()
    for config in ({"path": "in/x.csv"}, {"path": "in", "pattern": "y*"}):
        with pytest.raises(SourceError, match="caf\ufffd") as caught:
            amounts(of(root, **config))
        str(caught.value).encode()


# ── who else can read them ────────────────────────────────────────────────────────────────────────────────────────────


def modes_below(folder: Path) -> dict[str, str]:
    """What others than the owner may do with something, by its name; a folder that is closed closes what is in it."""
    found: dict[str, str] = {}
    for path in folder.iterdir():
        mode = path.lstat().st_mode
        if mode & 0o077 and not path.is_symlink():
            found[path.name] = oct(stat.S_IMODE(mode))
    return found


def test_the_folders_of_an_older_stack_are_closed_at_its_next_start(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data")
    for folder in (layout.root, layout.files, layout.logs, layout.staging, layout.prefect_home):
        folder.mkdir()
        folder.chmod(0o755)
    layout.log("worker").write_text("rows")
    layout.log("worker").chmod(0o644)
    layout.create()
    assert modes_below(layout.root) == modes_below(layout.logs) == {}
    fresh = Layout(tmp_path / "fresh")
    fresh.create()
    assert stat.S_IMODE(fresh.root.stat().st_mode) == 0o700
    assert modes_below(fresh.root) == {}


def test_a_folder_that_is_a_link_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir(mode=0o755)
    (tmp_path / "shared").chmod(0o755)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "files").symlink_to(tmp_path / "shared")
    Layout(tmp_path / "data").create()
    assert stat.S_IMODE((tmp_path / "shared").stat().st_mode) == 0o755


def test_folders_of_tenants_are_their_owners_alone(tmp_path: Path) -> None:
    roots = FilesRoots(tmp_path / "files", {"shop": tmp_path / "shop"})
    make_folders(roots, ["default", "acme", "shop"])
    assert [path.name for path in tmp_path.iterdir()] == ["files.tenants"]
    assert stat.S_IMODE(roots.others.stat().st_mode) == stat.S_IMODE(roots.of("acme").stat().st_mode) == 0o700
