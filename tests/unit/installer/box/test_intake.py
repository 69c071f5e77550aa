"""Virus definitions from files: all of them or none, and nothing that ClamAV's programs do not vouch for."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from installer.apply.places import Places
from installer.box import cli, definitions

Box = Callable[..., int]
OWN = "Mine.Test:0:*:706f737465726e206f776e207369676e6174757265\n"
# ClamAV's own programs are the container lane's. These vouch for every file that does not say `bad`.
FAKES = {
    "setpriv": 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"',
    "sigtool": 'if grep -q bad "${1#--info=}"; then echo "Verification: FAILED"; else echo "Verification OK."; fi',
    "clamscan": 'for word; do case "$word" in --database=*) ! grep -q bad "${word#*=}" || exit 2 ;; esac; done',
    "systemctl": 'echo "$@" >>"$FOLDER/asked"',
}


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    (tmp_path / "var/lib/clamav").mkdir(parents=True)
    (tmp_path / "proc").mkdir()
    (tmp_path / "fakes").mkdir()
    for name, script in FAKES.items():
        program = tmp_path / "fakes" / name
        program.write_text(f"#!/bin/sh\nFOLDER={tmp_path}\n{script}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'fakes'}:/usr/bin:/bin")
    return Places(tmp_path)


def put(places: Places, name: str, text: str = "") -> str:
    head = f"ClamAV-VDB:{datetime.now(UTC).strftime('%d %b %Y %H-%M %z')}:27000:2000000:90:digest:signature:builder:1"
    path = places.root / name
    path.write_text(text or head.ljust(512) + "packed")
    return str(path)


def there(places: Places) -> list[str]:
    return sorted(path.name for path in (places.root / "var/lib/clamav").iterdir())


def test_signed_sets_are_put_in_service(places: Places, capsys: pytest.CaptureFixture[str]) -> None:
    (places.root / "var/lib/clamav/daily.cld").write_text("older, with changes")
    given = [put(places, "daily.cvd"), put(places, "bytecode.cvd")]
    assert cli.main(["definitions", *given], places.root) == 0
    assert there(places) == ["bytecode.cvd", "daily.cvd"]
    assert (places.root / "asked").read_text().splitlines()[-1] == "reload clamav-daemon.service"
    said = capsys.readouterr().out
    assert "daily.cvd 27000 of " in said
    assert "The virus scanner loads them now." in said


WRONG: list[tuple[str, str, list[str], str]] = [
    ("daily.cvd", "ClamAV-VDB:bad", [], "daily.cvd: is damaged, or not signed by ClamAV (fetch it again"),
    ("daily.cvd", "no head", [], "daily.cvd: is damaged, or not signed by ClamAV (fetch it again"),
    ("daily.cld", "", [], "daily.cld: was changed since it was signed (take the .cvd file)"),
    ("mine.ndb", OWN, [], "mine.ndb: is not signed by ClamAV (if it is your own, --unsigned takes it all the same)"),
    ("mine.ndb", "bad", ["--unsigned"], "mine.ndb: cannot be loaded (`clamscan --database="),
    ("postern-test.ndb", OWN, ["--unsigned"], "postern-test.ndb: has no name of virus definitions (main.cvd, daily.c"),
    ("mine.exe", "x", ["--unsigned"], "mine.exe: has no name of virus definitions (main.cvd, daily.cvd, bytecode.cvd;"),
]


@pytest.mark.parametrize(("name", "text", "options", "said"), WRONG)
def test_what_nobody_vouches_for_is_refused(
    places: Places, capsys: pytest.CaptureFixture[str], name: str, text: str, options: list[str], said: str
) -> None:
    """In one line, and a good file beside it is not taken either."""
    given = [put(places, "bytecode.cvd"), put(places, name, text)]
    assert cli.main(["definitions", *options, *given], places.root) == 2
    assert there(places) == []
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{places.root}/{said}")


def test_what_is_not_there_or_named_twice(places: Places, capsys: pytest.CaptureFixture[str]) -> None:
    missing = str(places.root / "main.cvd")
    assert cli.main(["definitions", missing], places.root) == 2
    assert capsys.readouterr().err == f"{missing}: cannot be copied: No such file or directory\n"
    assert cli.main(["definitions", missing, missing], places.root) == 2
    assert capsys.readouterr().err == f"{missing}: has the name of another (take one of them)\n"


def test_a_box_that_is_too_small_for_them(places: Places, capsys: pytest.CaptureFixture[str]) -> None:
    (places.root / "proc/meminfo").write_text("MemTotal:        1000000 kB\nMemFree: 1 kB\n")
    assert cli.main(["definitions", put(places, "main.cvd")], places.root) == 2
    assert "main.cvd: needs 3072 MiB of memory, and this box has 976" in capsys.readouterr().err
    assert cli.main(["definitions", put(places, "bytecode.cvd")], places.root) == 0


def test_ones_own_come_and_go(places: Places, capsys: pytest.CaptureFixture[str]) -> None:
    put(places, "var/lib/clamav/postern-test.ndb", "x")
    assert cli.main(["definitions", "--unsigned", put(places, "mine.ndb", OWN)], places.root) == 0
    capsys.readouterr()
    assert cli.main(["definitions"], places.root) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("mine.ndb taken 20")
    assert lines[0].endswith(", not signed by ClamAV, 1 signatures")
    assert lines[1:] == [definitions.TEST_SET, "source: none before set-up"]
    assert cli.main(["definitions", "--json"], places.root) == 0
    said = json.loads(capsys.readouterr().out)
    assert [(one["name"], one["signed"]) for one in said["sets"]] == [("mine.ndb", False)]
    assert cli.main(["definitions", "--remove", "postern-test.ndb", "daily.cvd"], places.root) == 2
    assert capsys.readouterr().err.splitlines() == [
        "postern-test.ndb cannot be removed (one's own here are: mine.ndb)",
        "daily.cvd cannot be removed (one's own here are: mine.ndb)",
    ]
    assert cli.main(["definitions", "--remove", "mine.ndb"], places.root) == 0
    assert there(places) == ["postern-test.ndb"]
