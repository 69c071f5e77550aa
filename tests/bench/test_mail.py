"""Messages a second and memory, each beside a peer that Debian 13 itself makes, in the same run and by turns."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from images.archive import Archive
from images.store import Store
from tests.bench.conftest import Figure
from tests.bench.debian import Debian
from tests.bench.load import CLIENT, Side, letters, sink
from tests.container.box import Box, box, until
from tests.container.conftest import root as root
from tests.container.lab import SECRETS, name_server
from tests.container.network import segments
from tests.peers import Peers, debian_tree

ROUNDS = 3
BEHIND = "10.0.0.25"  # the protected domain's server
IN_THE_WIRE = "192.0.2.25"  # the same in transparent mode
FILTERED = "filtering: {greylisting: {enabled: false}}"  # which the peer has not, and which would only wait
UNFILTERED = 'filtering: {incoming: {antispam: "off", antivirus: false}, outgoing: {antispam: "off", antivirus: false}}'
_GATEWAY = f"""
format: 1
mode: gateway
network:
  ports:
    port1: {{{{addresses: [192.0.2.10/24], allow: [smtp]}}}}
    port2: {{{{addresses: [10.0.0.1/24]}}}}
  dns: [192.0.2.53]
mailhost: {{{{host_name: mx1, local_domain: mail.example.org}}}}
domains: [{{{{name: example.com, server: {BEHIND}}}}}]
{{filtering}}
"""
_TRANSPARENT = f"""
format: 1
mode: transparent
network:
  bridge: {{{{addresses: [192.0.2.10/24], allow: [smtp]}}}}
  dns: [192.0.2.53]
mailhost: {{{{host_name: filter, local_domain: mail.example.org}}}}
domains: [{{{{name: example.com, server: {IN_THE_WIRE}}}}}]
{{filtering}}
"""


@pytest.fixture(scope="module")
def debian(store: Store, archive: Archive) -> Path:
    return debian_tree(store, archive)


@contextmanager
def side(
    tree: Path, peers: Peers, folder: Path, label: str, kind: type[Box] = Box, answers: str = ""
) -> Iterator[Side]:
    """A box or a Debian with a client in front and a server behind. `label` (two letters) tells its networks apart."""
    with ExitStack() as stack:
        outside, beyond = nets = stack.enter_context(segments(2, label))
        made = stack.enter_context(box(tree, nets, kind=kind))
        # The resolver has to be there before the filter asks whether it is.
        made.start({"postern.answers": answers, "postern.secrets": SECRETS})
        outside.host(f"{CLIENT}/24", "192.0.2.53/24")
        server = IN_THE_WIRE if "mode: transparent" in answers else BEHIND
        beyond.host(f"{server}/24")
        folder.mkdir()
        stack.enter_context(name_server(peers, outside, folder))
        log = stack.enter_context(sink(peers, beyond, f"{server}:25", folder / "sink.log"))
        target = f"{server if 'mode: transparent' in answers else '192.0.2.10'}:25"
        if not isinstance(made, Debian):
            if FILTERED in answers:
                dns = made.path("run/rspamd/dns")
                until(lambda: dns.exists() and dns.read_text().strip() == "answers", "DNS", made.tail)
            until(lambda: outside.answers(target.partition(":")[0], 25), "the box", made.tail)
        yield Side(made, peers, outside, target, letters(folder / "letters"), log)
        if not isinstance(made, Debian):
            made.require_well()


def by_turns(ours: Side, its: Side, many: int, few: int) -> tuple[float, float]:
    """The medians of both; the first round is for warming up."""
    rates = [(ours.per_second(many), its.per_second(few)) for _ in range(ROUNDS + 1)][1:]
    print(rates)
    mine, theirs = zip(*rates, strict=True)
    return statistics.median(mine), statistics.median(theirs)


def told(what: str, ours: Side, its: Side, many: int, few: int, bar: float | None) -> Iterator[Figure]:
    mine, theirs = by_turns(ours, its, many, few)
    yield Figure(what, mine, "/s", bar, theirs, least=True)
    yield Figure(f"memory: {what}", ours.box.held_mib, "MiB", None, its.box.held_mib)


def test_filtering_against_amavis(root: Path, debian: Path, peers: Peers, tmp_path: Path, figure: list[Figure]) -> None:
    answers = _GATEWAY.format(filtering=FILTERED)
    with (
        side(root, peers, tmp_path / "ours", "ba", answers=answers) as ours,
        side(debian, peers, tmp_path / "its", "bb", Debian) as its,
    ):
        assert isinstance(its.box, Debian)
        its.box.relay(BEHIND)
        its.box.filter(root / "usr/share/postern/definitions")
        figure += told("10 kB filtered / amavisd-new, SpamAssassin, ClamAV, Postfix", ours, its, 300, 20, 5)


def test_relay_against_postfix(root: Path, debian: Path, peers: Peers, tmp_path: Path, figure: list[Figure]) -> None:
    answers = _GATEWAY.format(filtering=UNFILTERED)
    with (
        side(root, peers, tmp_path / "ours", "bc", answers=answers) as ours,
        side(debian, peers, tmp_path / "its", "bd", Debian) as its,
    ):
        assert isinstance(its.box, Debian)
        its.box.relay(BEHIND)
        figure += told("10 kB relayed / bare Postfix", ours, its, 2000, 2000, 0.9)


def test_proxy_against_haproxy(root: Path, debian: Path, peers: Peers, tmp_path: Path, figure: list[Figure]) -> None:
    with side(debian, peers, tmp_path / "its", "be", Debian) as its:
        assert isinstance(its.box, Debian)
        its.box.pass_through(f"{BEHIND}:25")
        its = Side(its.box, peers, its.outside, "192.0.2.10:2525", its.letters, its.sink)
        with side(root, peers, tmp_path / "read", "bf", answers=_TRANSPARENT.format(filtering=UNFILTERED)) as ours:
            figure += told("10 kB read along, not filtered / HAProxy, TCP", ours, its, 2000, 2000, 0.5)
        with side(root, peers, tmp_path / "filtered", "bg", answers=_TRANSPARENT.format(filtering=FILTERED)) as ours:
            figure += told("10 kB read along and filtered / HAProxy, TCP", ours, its, 300, 1000, None)
