"""The Debian archive as the build host reaches it: which mirrors, and in which state they are."""

from __future__ import annotations

import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from hardware.host import run
from hardware.host.errors import Problem, Refused, refuse
from hardware.host.files import digest_of
from images.store import Store

# Suites of Debian itself, whatever release the host runs; a third party's repository never has these names.
_SUITE = re.compile(r"(bookworm|trixie|forky|sid|stable|testing|unstable|oldstable)(-updates|-security)?(/updates)?")
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# How long a mirror may take to answer.
PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Archive:
    """One suite with its updates: apt source lines, and the digest of the state that the mirrors are in."""

    suite: str
    sources: tuple[str, ...]
    state: str


def reached(suite: str, main: str = "", security: str = "") -> Archive:
    """The suite as the given mirrors have it, else the host's own. Raises `Refused` for what cannot be reached."""
    return inspect(suite, *mirrors(main, security))


def mirrors(main: str = "", security: str = "") -> tuple[str, str]:
    """The addresses of the main and of the security archive: as given, else as the host's own apt has them."""
    if not (main and security):
        listing = run.run(["apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)"]).stdout
        for suite, address in (line.split(" ", 1) for line in listing.splitlines()):
            known = _SUITE.fullmatch(suite)
            if not known:
                continue
            if known[2] == "-security" or known[3]:
                security = security or address
            else:
                main = main or address
    found = (("main", main, "--mirror"), ("security", security, "--security-mirror"))
    problems = [
        Problem("apt", "", f"this machine's apt names no Debian {which} archive", f"name one with {option} URL")
        for which, address, option in found
        if not address
    ]
    if problems:
        raise Refused(problems)
    return main, security


def inspect(suite: str, main: str, security: str) -> Archive:
    """Ask the mirrors in which state they are, by the digests of their signed release files (half a second).

    Raises `Refused` with one problem for each file that cannot be had.
    """
    places = [
        (main, suite, "--mirror"),
        (main, f"{suite}-updates", "--mirror"),
        (security, f"{suite}-security", "--security-mirror"),
    ]
    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda place: _release(*place), places))
    problems = [answer for answer in answers if isinstance(answer, Problem)]
    if problems:
        raise Refused(problems)
    sources = tuple(f"deb {address} {name} main" for address, name, _ in places)
    return Archive(suite, sources, digest_of(*(answer for answer in answers if isinstance(answer, str))))


def remembered(suite: str, store: Store) -> Archive:
    """The state that the newest cached root file system was made from. Raises `Refused` when there is none."""
    newest = store.newest("rootfs")
    if newest is None:
        raise refuse("nothing is cached yet", "build once without --offline", where="--offline")
    state, *sources = (newest / "archive").read_text().splitlines()
    return Archive(suite, tuple(sources), state)


def _release(address: str, name: str, option: str) -> str | Problem:
    """The digest of a release file's list of indices, or why there is none.

    The file's date and signature alone are no new state.
    """
    url = f"{address.rstrip('/')}/dists/{name}/InRelease"
    hint = f"name another with {option} URL, set http_proxy, or build from the cache with --offline"
    with tempfile.TemporaryDirectory(prefix="postern-") as folder:
        target = Path(folder) / name
        helper = ["/usr/lib/apt/apt-helper", "-o", "Acquire::Retries=1"]
        try:
            run.run([*helper, "download-file", url, target], timeout=PATIENCE_SECONDS)
        except run.Failed:
            return Problem("mirror", url, "cannot be reached", hint)
        text = target.read_text(errors="replace")
    _, found, indices = text.partition("\nSHA256:\n")
    if not found:
        return Problem("mirror", url, "is not an archive's release file", hint)
    return digest_of(indices.partition("\n-----BEGIN PGP SIGNATURE-----")[0])


def keyring_options() -> list[str]:
    """How mmdebstrap is told whom to believe: Debian's own keys, wherever the host keeps others."""
    return [f"--keyring={_KEYRING}"] if _KEYRING.is_file() else []
