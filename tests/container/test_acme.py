"""A certificate by ACME: asked for at a real authority, shown by web and mail server, and another one in time."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import yaml

from hardware.host import run
from tests.authority import Authority
from tests.container.box import Box, box, until
from tests.container.network import Segment, segments
from tests.container.test_certificate import HERE, NAME, SHOWN, bodies, made_here, shown, status
from tests.peers import Peers
from tests.peers import inside as host_path

RESOLVER, DIRECTORY = "192.0.2.53", "192.0.2.90"
PASSWORD = "Godwit-sleeps~12-low"
UNIT = "postern-acme.service"
# Less than what is renewed (30 days), so that each look of the box is one in time.
LIFE_SECONDS = 20 * 24 * 3600


@pytest.fixture(scope="module")
def net() -> Iterator[Segment]:
    with segments(1, "ac") as nets:
        yield nets[0]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who signs the directory's own certificate: nobody that browsers know."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def fresh(
    root: Path, net: Segment, peers: Peers, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Box]:
    """A box whose authority is away at first; the tests here are its life, in their order."""
    acme = {"directory": "https://acme.example.net:14000/dir", "contact": "ann@example.com"}
    answers = {
        "format": 1,
        "mode": "gateway",
        "network": {
            "ports": {"port1": {"addresses": ["192.0.2.10/24"], "allow": ["ping", "smtp", "https", "http"]}},
            "dns": [RESOLVER],
        },
        "mailhost": {"host_name": "mx1", "local_domain": "example.org"},
        "domains": [{"name": "example.com", "server": "192.0.2.25"}],
        "web": {"acme": acme | {"authorities": authority.root.text}},
    }
    folder = tmp_path_factory.mktemp("resolver")
    with ExitStack() as stack:
        made = stack.enter_context(box(root, [net]))
        secrets = f"format: 1\nadmin: {{password: {PASSWORD}}}\n"
        made.start({"postern.answers": yaml.safe_dump(answers), "postern.secrets": secrets})
        plug(net)
        argv = peers.command(
            *("dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--user=root", "--group=root"),
            *("--pid-file=", f"--listen-address={RESOLVER}", "--bind-dynamic", "--local=/#/"),
            *(f"--host-record={NAME},192.0.2.10", f"--host-record=acme.example.net,{DIRECTORY}"),
            namespace=net.namespace,
        )
        stack.enter_context(run.spawn(argv, log=folder / "log"))
        until(lambda: net.answers(RESOLVER, 53), "the name server", (folder / "log").read_text)
        yield made
        made.require_well(PASSWORD, "PRIVATE KEY")


def plug(net: Segment) -> None:
    net.host(f"{HERE}/24", f"{RESOLVER}/24", f"{DIRECTORY}/24")


@contextmanager
def pebble(peers: Peers, net: Segment, authority: Authority, folder: Path) -> Iterator[None]:
    """An authority that forgets everybody when it ends."""
    own = authority.sign("acme.example.net")
    (folder / "chain.pem").write_text(own.text + authority.between.text)
    (folder / "key.pem").write_text(own.key)
    settings = {
        "listenAddress": f"{DIRECTORY}:14000",
        "managementListenAddress": f"{DIRECTORY}:15000",
        "certificate": str(host_path(folder / "chain.pem")),
        "privateKey": str(host_path(folder / "key.pem")),
        "httpPort": 80,
        "tlsPort": 443,
        "certificateValidityPeriod": LIFE_SECONDS,
    }
    (folder / "pebble.json").write_text(json.dumps({"pebble": settings}))
    argv = peers.command(
        *("pebble", "-dnsserver", f"{RESOLVER}:53", "-config", host_path(folder / "pebble.json")),
        namespace=net.namespace,
    )
    with run.spawn(argv, log=folder / "log", env={"PEBBLE_VA_NOSLEEP": "1"}):
        until(lambda: net.answers(DIRECTORY, 14000), "the authority", (folder / "log").read_text)
        yield


def ask(of: Box) -> None:
    """Let the box ask now rather than when its timer says so; back when it shows what it was given."""
    done = of.run("systemctl", "start", UNIT, check=False)
    assert done.status == 0, of.journal("--unit", UNIT, "--lines=40")
    taken = "var/lib/postern/device/tls/cert.pem"
    given = bodies(of.path(f"var/lib/postern-acme/{NAME}/cert.pem").read_text())
    until(lambda: bodies(of.path(taken).read_text()) == given, "the certificate to be shown", of.tail)
    of.run("systemctl", "start", "postern-acme-taken.service")  # once more, which changes nothing: it is done


def first_shown(peers: Peers, net: Segment) -> str:
    """What web and mail server show, which is the same."""
    (one,) = set(shown(peers, net).values())
    return one


def test_while_the_authority_is_away_the_box_shows_its_own(fresh: Box, peers: Peers, net: Segment) -> None:
    until(lambda: "no certificate by ACME" in str(status(fresh)["problems"]), "a problem", lambda: status(fresh))
    assert shown(peers, net) == dict.fromkeys(SHOWN, bodies(made_here(fresh)))
    assert status(fresh)["certificate"]["source"] == "made"


def test_what_the_authority_gives_is_shown_by_all(
    fresh: Box, peers: Peers, net: Segment, authority: Authority, tmp_path: Path
) -> None:
    with pebble(peers, net, authority, tmp_path):
        ask(fresh)
    given = fresh.path(f"var/lib/postern-acme/{NAME}/cert.pem").read_text()
    assert shown(peers, net) == dict.fromkeys(SHOWN, bodies(given))
    found = status(fresh)
    assert (found["certificate"]["source"], found["certificate"]["names"]) == ("acme", [NAME])
    assert "ACME" not in str(found["problems"])


def test_its_keys_are_the_accounts_alone(fresh: Box) -> None:
    folder = "/var/lib/postern-acme"
    argv = ("stat", "-c", "%a %U", folder, f"{folder}/private", f"{folder}/private/key.pem")
    said = fresh.run(*argv, f"{folder}/private/{NAME}/key.pem").stdout.splitlines()
    assert len(said) == 4
    assert all(re.fullmatch("[4-7]00 postern-acme", line) for line in said), said


def test_it_is_shown_after_a_restart_while_the_authority_is_away(fresh: Box, peers: Peers, net: Segment) -> None:
    before = first_shown(peers, net)
    fresh.stop()
    fresh.start()
    plug(net)
    fresh.run("systemctl", "is-system-running", "--wait", check=False)
    until(lambda: "no certificate by ACME" in str(status(fresh)["problems"]), "a problem", lambda: status(fresh))
    assert first_shown(peers, net) == before


def test_another_one_comes_in_time(
    fresh: Box, peers: Peers, net: Segment, authority: Authority, tmp_path: Path
) -> None:
    """From an authority that has lost its accounts, too."""
    before = first_shown(peers, net)
    with pebble(peers, net, authority, tmp_path):
        ask(fresh)
    assert first_shown(peers, net) != before
    folders = fresh.path("var/lib/postern/device/certificate").iterdir()
    assert sorted(path.name.partition("-")[0] for path in folders) == ["acme", "made"]


def test_what_the_authority_gave_is_looked_at(fresh: Box, peers: Peers, net: Segment, authority: Authority) -> None:
    """Its client speaks to strangers: what it leaves behind is read as an uploaded certificate is."""
    before = first_shown(peers, net)
    path = f"/var/lib/postern-acme/{NAME}/cert.pem"
    for content, sentence in (
        (authority.sign(NAME).text, "the private key is that of another certificate"),
        ("nonsense", "is not a certificate in PEM form"),
    ):
        fresh.path(path).write_text(content)
        refused = fresh.run("postern", "take-certificate", check=False)
        assert (refused.status, sentence in refused.stderr) == (2, True), refused.stderr
    fresh.run("ln", "-sf", "/etc/shadow", path)
    refused = fresh.run("postern", "take-certificate", check=False)
    assert (refused.status, "cannot be read" in refused.stderr) == (2, True), refused.stderr
    assert first_shown(peers, net) == before


def test_a_directory_that_nobody_known_signed_is_not_believed(
    fresh: Box, peers: Peers, net: Segment, authority: Authority, tmp_path: Path
) -> None:
    before = first_shown(peers, net)
    answers = yaml.safe_load(fresh.run("postern", "settings", "show").stdout)
    del answers["web"]["acme"]["authorities"]
    fresh.path("run/answers.yaml").write_text(yaml.safe_dump(answers))
    fresh.run("postern", "apply", "/run/answers.yaml")
    with pebble(peers, net, authority, tmp_path):
        assert fresh.run("systemctl", "start", UNIT, check=False).status != 0
    said = fresh.journal("--unit", UNIT, "--lines=60")
    assert re.search("curl_get: .*certificate", said), said
    assert first_shown(peers, net) == before


def test_the_way_back(fresh: Box, peers: Peers, net: Segment) -> None:
    fresh.run("postern", "certificate", "remove")
    assert shown(peers, net) == dict.fromkeys(SHOWN, bodies(made_here(fresh)))
    assert fresh.run("systemctl", "is-active", "postern-acme.timer", check=False).stdout.strip() == "inactive"
    assert "acme" not in fresh.run("postern", "settings", "show").stdout
