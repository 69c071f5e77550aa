"""The table of users: in and out as CSV, and what the mail services read of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hardware.host.errors import Refused
from overlays.users import table
from overlays.users.settings import User
from overlays.users.table import Row

HASH = "$argon2id$v=19$m=65536,t=3,p=1$hsQ2sHKJPI1LYdbEJCVU0w$d52yoMNYmS515jZmeYsORbj2X0pHzj8GxPIivufrADM"
ANN = Row(User(address="ann@example.com", name="Lee, Ann", aliases=("sales@example.com",)), HASH)
BOB = Row(User(address="bob@bücher.example", quota_mib=5, aliases=("sales@example.com",)))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A box that is a folder, with a postmap that notes what it was asked for."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "postmap").write_text(f'#!/bin/sh\necho "$1" >>{tmp_path}/calls\n')
    (programs / "postmap").chmod(0o755)
    (tmp_path / table.POSTFIX).parent.mkdir(parents=True)
    (tmp_path / table.POSTFIX).touch()
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return tmp_path


def test_what_was_written_is_read_again(root: Path) -> None:
    assert table.read(root) == ()
    table.write(root, (BOB, ANN))
    assert table.read(root) == (ANN, BOB)
    assert (root / table.TABLE).stat().st_mode & 0o777 == 0o600


def test_what_the_mail_services_read(root: Path) -> None:
    table.write(root, (ANN, BOB))
    published = root / table.PUBLISHED

    def lines(name: str) -> list[str]:
        return (published / name).read_text(encoding="utf-8").splitlines()

    assert lines("passwords") == [f"ann@example.com:{{ARGON2ID}}{HASH}"]
    assert lines("mailboxes") == [
        "ann@example.com:::::::",
        "bob@xn--bcher-kva.example:::::::userdb_quota/mailbox/storage_size=5M",
    ]
    assert lines("recipients") == ["ann@example.com mailbox", "bob@xn--bcher-kva.example mailbox"]
    assert lines("aliases") == [
        "ann@example.com ann@example.com",
        "sales@example.com ann@example.com, bob@xn--bcher-kva.example",
        "bob@xn--bcher-kva.example bob@xn--bcher-kva.example",
        "bob@bücher.example bob@xn--bcher-kva.example",
    ]
    assert "sales@example.com ann@example.com bob@xn--bcher-kva.example" in lines("senders")
    assert (published / "passwords").stat().st_mode & 0o777 == 0o640
    assert len((root / "calls").read_text().splitlines()) == 3


def test_two_changes_in_one_second_are_two_for_dovecot(root: Path) -> None:
    times = []
    for _ in range(3):
        table.write(root, (ANN, BOB))
        times.append(int((root / table.PUBLISHED / "passwords").stat().st_mtime))
    assert times[0] < times[1] < times[2]


def test_who_comes_again_keeps_the_password() -> None:
    changed = Row(User(address="ann@example.com", name="Ann"))
    assert table.joined((ANN,), (changed, BOB)) == (Row(changed.user, HASH), BOB)


def test_a_plain_password_of_a_file_is_hashed() -> None:
    rows = table.parse("address,password\nann@example.com,correct horse\n", "a.csv", lambda plain: f"<{plain}>")
    assert rows == (Row(User(address="ann@example.com"), "<correct horse>"),)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "a.csv: has no column `address` (the first line names the columns: address, name, quota_mib"),
        ("address,phone\n", "a.csv: has the column 'phone'"),
        ("address\nann\n", "a.csv: line 2: address: 'ann' is not a mail address"),
        ("address,quota_mib\nann@example.com,big\n", "a.csv: line 2: quota_mib: input should be a valid integer"),
        ("address,password\nann@example.com,short\n", "a.csv: line 2: the password is shorter than 8 characters"),
        ("address,password_hash\nann@example.com,x\n", "a.csv: line 2: password_hash is not an argon2id hash"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_line(text: str, sentence: str) -> None:
    with pytest.raises(Refused) as refused:
        table.parse(text, "a.csv", str)
    assert str(refused.value).startswith(sentence)


def test_new_users_have_to_fit_those_that_are_there() -> None:
    def said(*more: User, domains: tuple[str, ...] = ("example.com",)) -> list[str]:
        return [reason.message for reason in table.objections((ANN, BOB), map(Row, more), domains)]

    assert said(User(address="carl@example.com")) == []
    assert said(User(address="sales@example.com")) == ["sales@example.com is a user itself"]
    assert said(User(address="carl@example.org")) == ["example.org is not a protected domain"]
    assert said(User(address="carl@example.com", aliases=("ann@example.com",))) == ["ann@example.com is a user itself"]
