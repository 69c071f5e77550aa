"""The daemons' own parsers read what every example renders to, and one misspelt word is enough to stop an apply."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hardware import profile
from overlays.keyboard.settings import LAYOUTS
from tests.container.box import Box, box
from tests.container.network import segments

EXAMPLES = Path(__file__).parents[1] / "answers"
GOLDEN = EXAMPLES.parent / "golden"
# Runs in the box: lets the parsers read what an answer file renders to, with a line more in one of the files.
_SPOILT = """
import sys
sys.path.insert(0, "/usr/lib/postern")
from dataclasses import replace
from pathlib import Path
from hardware.host.errors import Refused
from installer.apply import pipeline, plan
from installer.apply.places import Places
from installer.box import change

answers, secrets, path, line = sys.argv[1:]
of = change.open_box(Places())
settings, hidden = change.read_answers(of, Path(answers), Path(secrets))
wanted = plan.of(settings, plan.hashed(hidden), of.profile)
spoilt = replace(wanted.files[path], text=wanted.files[path].text + line + "\\n")
try:
    pipeline.accept(of, replace(wanted, files={**wanted.files, path: spoilt}))
except Refused as refused:
    sys.exit("\\n".join(map(str, refused.problems)))
"""
# Runs in the box: lets the parsers read what settings render to on every hardware profile.
_EVERYWHERE = """
import sys
sys.path.insert(0, "/usr/lib/postern")
from dataclasses import replace
from hardware import profile
from installer.apply import pipeline, plan
from installer.apply.places import Places
from installer.box import change
from overlays.problems import check
from overlays.settings import parse_answers, parse_secrets

of = change.open_box(Places())
hidden = plan.hashed(parse_secrets("{format: 1, admin: {password: Stork-stands~31-still}}", "secrets"))
settings = parse_answers(sys.stdin.read(), "answers")
for box in profile.load_all():
    if settings.mode in box.op_modes:
        check(settings, box, box.id, hidden)
        pipeline.accept(of, plan.of(settings, hidden, box))
        print(box.id)
"""
# What differs between the modes.
MODES = {
    "gateway": "network: {ports: {port1: {addresses: [192.0.2.10/24], allow: [smtp]}}}",
    "transparent": "network: {bridge: {addresses: [192.0.2.10/24], allow: [smtp]}}",
    "server": "network: {ports: {port1: {addresses: [192.0.2.10/24], allow: [smtp, imaps]}}}",
}
# File, a line more in it, and what the parser must say.
SPOILT = {
    "nothing": ("etc/postfix/main.cf", "# a comment", ""),
    "parameter of Postfix": (
        "etc/postfix/main.cf",
        "smtpd_tls_secruity_level = may",
        "postconf: .* unused parameter: smtpd_tls_secruity_level",
    ),
    "line of services": ("etc/postfix/master.cf", "smtpx inet n -", "postconf: .* bad field count"),
    "program of a service": (
        "etc/postfix/master.cf",
        "127.0.0.1:26 inet n - n - - smptd",
        "Postfix has no program smptd",
    ),
    "table of domains": ("etc/postfix/transport", "example.edu", "postmap: .* expected format: key whitespace value"),
    "table of own addresses": ("etc/postfix/virtual", "root", "postmap: .* expected format: key whitespace value"),
    "table of clients": ("etc/postfix/relay_clients", "10.0.0.0/33 OK", "postmap: .* bad mask length"),
    "access rule": (
        "etc/postern/access.yaml",
        "  - {sendr: x, action: reject}",
        "postern-access: .*did you mean sender",
    ),
    "setting of Dovecot": ("etc/dovecot/dovecot.conf", "mail_hmoe = /tmp", "doveconf: .* mail_hmoe"),
    "word of Sieve": ("etc/dovecot/sieve/filing.sieve", 'fielinto "Bulk";', "sievec: .*unknown command 'fielinto'"),
    "option of sshd": ("etc/ssh/sshd_config", "PermitRotLogin no", "sshd: .* PermitRotLogin"),
    "directive of chrony": ("etc/chrony/chrony.conf", "sever 192.0.2.1", "chronyd: .* Invalid directive"),
    "rule of nftables": (
        "etc/nftables.conf",
        "add rule inet postern input tpc dport 23 accept",
        "nft: .* syntax error",
    ),
    "setting of the proxy": ("etc/postern/proxy.yaml", "servrs: {}", "postern-proxy: .*did you mean servers"),
    "rule of the pick-up": (
        "etc/postern/pickup.nft",
        "add rule bridge postern pre tpc dport 25 accept",
        "nft: .* syntax error",
    ),
    "directive of nginx": ("etc/nginx/nginx.conf", "sever { }", "nginx: .* unknown directive"),
    "directive of nginx, included": ("etc/nginx/sites/webmail.conf", "exires 1d;", "nginx: .* unknown directive"),
    "setting of PHP": ("etc/php/8.4/fpm/php-fpm.conf", "pm.max_childen = 3", "php-fpm8.4: .* unknown entry"),
    "statement of webmail": (
        "etc/roundcube/config.inc.php",
        "$config[ = 1;",
        "php8.4: .*[Ss]yntax error|php8.4: .*Parse error",
    ),
    "worker of Rspamd": (
        "etc/rspamd/rspamd.conf",
        'worker "nrmal" { bind_socket = "127.0.0.1:1"; }',
        "rspamadm: .*nrmal",
    ),
    "section of Rspamd": ("etc/rspamd/rules.conf", "dmarc {", "rspamadm: "),
    "clause of unbound": ("etc/unbound/unbound.conf", "sever:", "unbound-checkconf: .* error"),
    "option of clamd": ("etc/clamav/clamd.conf", "LogTme yes", "clamconf: .*LogTme"),
    "option of freshclam": ("etc/clamav/freshclam.conf", "DatabaseMiror x", "clamconf: .*DatabaseMiror"),
    "decision about spam": ("etc/postern/quarantine.json", "x", "postern-quarantine-agent: "),
    "option of rsyslog": ("etc/rsyslog.conf", 'global(maxMesageSize="1k")', "rsyslogd: .*maxMesageSize"),
    "setting of the sender": ("etc/postern/logs.yaml", "typez: []", "postern-logs: .*did you mean types"),
    "rule of sudo": ("etc/sudoers.d/postern", "admin ALL = (root) NOPASWD: ALL", "visudo: .* syntax error"),
}


@pytest.fixture(scope="module")
def reader(root: Path) -> Iterator[Box]:
    """A box before its set-up, with the examples at hand."""
    with segments(1, "pa") as nets, box(root, nets) as made:
        made.start(stage="factory")
        for path in EXAMPLES.glob("*.yaml"):
            made.path(f"run/{path.name}").write_text(path.read_text())
        yield made
        made.require_well()


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.yaml") if "secrets" not in path.stem))
def test_every_example_is_accepted(reader: Box, name: str) -> None:
    done = reader.run("postern", "setup", "--answers", f"/run/{name}", "--secrets", "/run/secrets.yaml", "--check")
    assert done.stdout.strip() == f"/run/{name}: no problems"


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_is_accepted_for_every_profile(reader: Box, mode: str) -> None:
    server = "" if mode == "server" else ", server: 192.0.2.25"
    shared = f"mailhost: {{host_name: mx, local_domain: example.org}}\ndomains: [{{name: example.com{server}}}]"
    answers = f"format: 1\nmode: {mode}\n{MODES[mode]}\n{shared}\n"
    done = reader.run("python3", "-I", "-B", "-c", _EVERYWHERE, stdin=answers)
    assert done.stdout.split() == [one.id for one in profile.load_all() if mode in one.op_modes]


@pytest.mark.parametrize("what", SPOILT)
def test_one_misspelt_word_is_noticed(reader: Box, what: str) -> None:
    path, line, complaint = SPOILT[what]
    example = next(name for name in ("gateway", "server", "transparent") if (GOLDEN / name / path).exists())
    words = [f"/run/{example}.yaml", "/run/secrets.yaml", path, line]
    said = reader.run("python3", "-I", "-B", "-c", _SPOILT, *words, check=False)
    assert said.status == (1 if complaint else 0), said.stderr
    assert re.search(complaint, said.stderr), said.stderr


# These two daemons have no way to be asked: they are started on the files, where nothing else of the box is.
_VALKEY = "timeout --preserve-status 2 valkey-server /run/valkey.conf --dir /run --unixsocket /run/valkey.sock"
_NETWORKD = """
mount -t tmpfs tmpfs /etc/systemd/network && cp /run/networks/* /etc/systemd/network &&
mount -t tmpfs -o mode=755 tmpfs /run/systemd/netif && chown systemd-network: /run/systemd/netif &&
SYSTEMD_LOG_TARGET=console timeout 3 /usr/lib/systemd/systemd-networkd 2>&1
"""


@pytest.mark.parametrize(("line", "complaint"), [("# a comment", ""), ("mxmemory 1mb", "Bad directive")])
def test_valkey_knows_every_directive(reader: Box, line: str, complaint: str) -> None:
    reader.path("run/valkey.conf").write_text(f"{(GOLDEN / 'gateway/etc/valkey/valkey.conf').read_text()}{line}\n")
    done = reader.run("sh", "-c", _VALKEY, check=False)
    assert (done.status == 0) is not bool(complaint), done
    assert complaint in done.stdout + done.stderr


@pytest.mark.parametrize("example", ["gateway", "gateway-ipv6", "server", "transparent", "misspelt"])
def test_networkd_knows_every_key(reader: Box, example: str) -> None:
    folder = reader.path("run/networks")
    shutil.rmtree(folder, ignore_errors=True)
    misspelt = example == "misspelt"
    shutil.copytree(GOLDEN / ("transparent" if misspelt else example) / "etc/systemd/network", folder)
    if misspelt:
        with (folder / "25-br0.network").open("a") as file:
            file.write("[Network]\nAddrezs=192.0.2.1/24\n")
    said = reader.run("unshare", "--net", "--mount", "sh", "-c", _NETWORKD, check=False).stdout
    unknown = re.findall(r"(?:Unknown|Failed to parse|Invalid).*", said)
    assert any("Addrezs" in one for one in unknown) if misspelt else not unknown, said


def test_every_keyboard_layout_is_in_the_image(reader: Box) -> None:
    """A container has no keyboard: each is read, and none is loaded."""
    script = 'for map; do loadkeys --unicode --mktable "$map" >/dev/null || echo "$map"; done'
    keymaps = [layout.keymap for layout in LAYOUTS.values()]
    assert reader.run("sh", "-c", script, "sh", *keymaps).stdout == ""
