"""Logins on an SSH server: host keys and credentials."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from headrace.connectors.errors import SourceError
from headrace.connectors.stores import file_copies
from headrace.connectors.stores.sftp.blocks import Blocks
from tests.connectors.stores.places import SftpPlace
from tests.connectors.stores.ssh_server import SshServer


@pytest.fixture
def place(ssh_server: SshServer) -> SftpPlace:
    found = SftpPlace(ssh_server)
    found.add("a.csv", b"id\n1\n")
    return found


def text(key: asyncssh.SSHKey, *passphrase: str) -> str:
    return key.export_private_key("openssh", *passphrase).decode()


def sees(place: SftpPlace) -> list[str]:
    return [file.name for file in place.store().listing("")]


def test_the_servers_key_may_be_given_whole(place: SftpPlace) -> None:
    place.config["hostKey"] = place.server.key.export_public_key("openssh").decode()
    assert sees(place) == ["a.csv"]


@pytest.mark.parametrize("passphrase", [(), ("a passphrase",)])
@pytest.mark.first_variant
def test_a_key_pair_opens_it(place: SftpPlace, passphrase: tuple[str, ...]) -> None:
    place.credentials = {"username": place.account, "privateKey": text(place.server.login_key, *passphrase)}
    if passphrase:
        place.credentials["passphrase"] = passphrase[0]
    assert sees(place) == ["a.csv"]


def refusal(place: SftpPlace, **credentials: Any) -> SourceError:
    place.credentials = {"username": place.account, **credentials}
    with pytest.raises(SourceError) as refused:
        sees(place)
    return refused.value


@pytest.mark.slow
def test_what_does_not_open_it_is_reported_without_it(place: SftpPlace) -> None:
    other = text(asyncssh.generate_private_key("ssh-ed25519"))
    locked = text(place.server.login_key, "a passphrase")
    assert refusal(place, privateKey=other).code == "login_refused"
    for given in ({"privateKey": "no key"}, {"privateKey": locked}, {"privateKey": locked, "passphrase": "wrong one"}):
        error = refusal(place, **given)
        assert (error.code, "private key" in error.message) == ("bad_credentials", True)
        assert not any(secret in str(error) for secret in given.values())
    assert refusal(place).code == "bad_credentials"


def test_paths_are_relative_to_the_connectors_folder(place: SftpPlace) -> None:
    place.add("deep/er/b.csv", b"x")
    for base in ("deep/er", "/deep/er", "deep/er/"):
        place.config["basePath"] = base
        assert sees(place) == ["b.csv"]


def test_a_link_is_read_and_not_moved(place: SftpPlace) -> None:
    os.symlink("a.csv", place.folder / "link.csv")
    store = place.store()
    assert sorted(file.name for file in store.listing("")) == ["a.csv", "link.csv"]
    with pytest.raises(SourceError, match="a link"):
        store.take("link.csv", "in/link.csv")


def test_a_connection_that_ended_is_made_again(place: SftpPlace) -> None:
    store = place.store()
    assert store.is_file("a.csv")
    store._session._open[0].abort()  # type: ignore[attr-defined]
    assert store.is_file("a.csv")


def test_a_server_that_is_not_there_is_reported(place: SftpPlace) -> None:
    place.config["port"] = 9
    with pytest.raises(SourceError, match=r"127.0.0.1:9 cannot be connected to: Connection refused"):
        sees(place)


def test_blocks_may_come_in_any_order_and_short(tmp_path: Path) -> None:
    with (tmp_path / "copy").open("w+b") as copy:
        blocks = Blocks(copy.fileno(), 2)
        copy.write(b"ab")
        copy.flush()
        seen = []
        for offset, data in ((6, b"gh"), (2, b"c"), (8, b"ij"), (3, b"def"), (10, b"")):
            blocks.write(offset, data)
            seen.append(blocks.reached)
    assert ((tmp_path / "copy").read_bytes(), seen) == (b"abcdefghij", [2, 3, 3, 10, 10])


def test_a_disk_without_room_is_no_lost_connection(place: SftpPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_copies, "unnamed_file", lambda _: os.open("/dev/full", os.O_RDWR))
    with pytest.raises(SourceError) as refused, place.store().opened("a.csv"):
        pass
    assert refused.value.code == "no_room"


def test_a_file_of_many_blocks_comes_whole_over_cuts(place: SftpPlace) -> None:
    content = os.urandom(3 << 20)
    place.add("big.bin", content)
    store = place.store()
    place.server.cuts = 3
    try:
        with store.opened("big.bin") as found:
            assert found.path.read_bytes() == content
    finally:
        assert place.server.cuts == 0
