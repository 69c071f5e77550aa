"""Which mirrors, in which state, and what is said of one that cannot be used."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hardware.host.errors import Refused
from images import archive
from images.store import Store
from tests.web import web

MAIN, SECURITY = "http://main.example.org", "http://security.example.org"
RELEASE = """-----BEGIN PGP SIGNED MESSAGE-----
Hash: SHA256

Origin: Debian
Date: Sat, 06 Sep 2025 09:00:00 UTC
MD5Sum:
 11111111111111111111111111111111  738242 main/Contents
SHA256:
 2222222222222222222222222222222222222222222222222222222222222222  738242 main/Contents
-----BEGIN PGP SIGNATURE-----
c2lnbmF0dXJl
-----END PGP SIGNATURE-----
"""

Fake = Callable[[str, str], Path]


@pytest.fixture
def releases(tmp_path: Path) -> dict[str, Path]:
    """The release files of an archive, by the names of their suites."""
    found = {
        name: tmp_path / "www/dists" / name / "InRelease" for name in ("trixie", "trixie-updates", "trixie-security")
    }
    for file in found.values():
        file.parent.mkdir(parents=True)
        file.write_text(RELEASE)
    return found


@pytest.fixture
def mirror(tmp_path: Path, releases: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a web server that has this archive."""
    monkeypatch.delenv("http_proxy", raising=False)
    with web(tmp_path / "www") as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def dead(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An address where nobody listens, and nobody else can start to."""
    monkeypatch.delenv("http_proxy", raising=False)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{unused.getsockname()[1]}"


def test_given_mirrors_are_taken_without_asking_apt(fake: Fake) -> None:
    fake("apt-get", "exit 1")
    assert archive.mirrors(MAIN, SECURITY) == (MAIN, SECURITY)


@pytest.mark.parametrize("security", ["trixie-security", "stable/updates"])
def test_otherwise_those_of_apt(fake: Fake, security: str) -> None:
    rows = [
        "noble http://other.example.net/ubuntu",
        f"{security} {SECURITY}",
        f"trixie-updates {MAIN}",
        f"trixie {MAIN}",
    ]
    fake("apt-get", f"printf '%s\\n' {' '.join(repr(row) for row in rows)}")
    assert archive.mirrors() == (MAIN, SECURITY)
    assert archive.mirrors(main="http://mine.example.com") == ("http://mine.example.com", SECURITY)


NO_MAIN = "apt: this machine's apt names no Debian main archive (name one with --mirror URL)"
NO_SECURITY = "apt: this machine's apt names no Debian security archive (name one with --security-mirror URL)"


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (f"trixie {MAIN}", [NO_SECURITY]),
        (f"trixie-security {SECURITY}", [NO_MAIN]),
        ("noble http://other.example.net/ubuntu", [NO_MAIN, NO_SECURITY]),
    ],
)
def test_a_missing_mirror_is_named_with_its_option(fake: Fake, known: str, said: list[str]) -> None:
    fake("apt-get", f"echo '{known}'")
    with pytest.raises(Refused) as refused:
        archive.mirrors()
    assert str(refused.value).splitlines() == said


def test_a_mirror_that_cannot_be_reached_is_named_with_its_option(dead: str) -> None:
    with pytest.raises(Refused) as refused:
        archive.inspect("trixie", f"{dead}/debian/", f"{dead}/security")
    assert [str(problem) for problem in refused.value.problems] == [
        f"mirror: {dead}/{place}/InRelease: cannot be reached "
        f"(name another with {option} URL, set http_proxy, or build from the cache with --offline)"
        for place, option in (
            ("debian/dists/trixie", "--mirror"),
            ("debian/dists/trixie-updates", "--mirror"),
            ("security/dists/trixie-security", "--security-mirror"),
        )
    ]


def test_nor_one_that_never_answers(mirror: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "PATIENCE_SECONDS", 2.0)  # the others have to answer within it
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(Refused, match=f"^mirror: {address}/dists/trixie-security/InRelease: cannot be reached"):
            archive.inspect("trixie", mirror, address)


def test_what_is_no_archive_is_no_mirror(mirror: str, releases: dict[str, Path]) -> None:
    releases["trixie-updates"].write_text("<html>Please log in to this network</html>")
    with pytest.raises(Refused) as refused:
        archive.inspect("trixie", mirror, mirror)
    (problem,) = refused.value.problems
    assert (problem.path, problem.message) == (
        f"{mirror}/dists/trixie-updates/InRelease",
        "is not an archive's release file",
    )


def test_a_new_state_is_new_packages_and_nothing_else(mirror: str, releases: dict[str, Path]) -> None:
    first = archive.inspect("trixie", mirror, mirror)
    assert first.sources == tuple(f"deb {mirror} {name} main" for name in releases)
    releases["trixie-updates"].write_text(RELEASE.replace("06 Sep", "07 Sep").replace("c2lnbmF0dXJl", "b3RoZXI="))
    assert archive.inspect("trixie", mirror, mirror) == first
    releases["trixie-security"].write_text(RELEASE.replace("2" * 64, "3" * 64))
    assert archive.inspect("trixie", mirror, mirror).state != first.state


def test_offline_it_is_the_state_of_the_newest_root(cache: Path) -> None:
    store = Store(cache)
    with pytest.raises(Refused, match=r"--offline: nothing is cached yet \(build once without --offline\)"):
        archive.remembered("trixie", store)

    def make(partial: Path) -> None:
        (partial / "archive").write_text("state\ndeb one\ndeb two\n")

    store.made("rootfs", "a", make)
    assert archive.remembered("trixie", store) == archive.Archive("trixie", ("deb one", "deb two"), "state")
