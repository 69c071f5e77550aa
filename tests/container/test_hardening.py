"""The box as auditors see it: systemd's measure of each daemon, testssl.sh at every encrypted port, lynis in the box.

A daemon that reads what strangers send is confined, at most 4.0 of 10, and may not take the whole memory. What runs and
is not on the list stands below with its reason, so that a new daemon is on one of the two.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hardware.host import run
from tests.container.box import Box, box, until
from tests.container.lab import DESK_BOX, Lab, name_server
from tests.container.network import segments
from tests.peers import Peers, inside

MOST = 40  # tenths
HOSTILE = (
    "chrony",  # not in a container: no clock of its own
    "clamav-daemon",
    "clamav-freshclam",
    "dovecot",
    "nginx",
    "php8.4-fpm",
    "postern-access",
    "postern-acme",
    "postern-quarantine",
    "postern-quarantine-daily",
    "postern-quarantine-web",
    "postfix",
    "rspamd",
    "systemd-networkd",
    "unbound",
    "valkey-server",
)
# What else runs, and why it may.
OTHERS = {
    "console-getty": "the wizard and the login of whoever stands at the box",
    "dbus": "speaks to programs of the box alone",
    "ssh": "the administrator's session inherits its confinement; before a login OpenSSH's own counts, see below",
    "systemd-journald": "reads what the services say, and is systemd's own",
    "systemd-logind": "speaks to programs of the box alone",
    "systemd-udevd": "reads what the kernel says of the hardware",
}
# systemd's own limits itself to what the kernel hands it.
UNLIMITED = ("systemd-networkd",)
NAME, ADDRESS = "mx1.mail.example.org", "192.0.2.10"
PASSWORD = "Dipper-bobs~58-brook"
SERVER = f"""
format: 1
mode: server
network:
  ports:
    port1: {{addresses: [{ADDRESS}/24], allow: [smtp, submission, submissions, imaps, pop3s, https]}}
  dns: [192.0.2.53]
mailhost: {{host_name: mx1, local_domain: mail.example.org}}
domains: [{{name: example.com}}]
users: [{{address: ann@example.com}}]
"""
SECRETS = f"""
format: 1
admin: {{password: {PASSWORD}}}
users: {{ann@example.com: {{password: {PASSWORD}}}}}
"""


@pytest.fixture(scope="module")
def server(root: Path, peers: Peers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """Server mode with all its services, and the name server that they ask."""
    with segments(1, "ha") as nets, box(root, nets) as made:
        made.start({"postern.answers": SERVER, "postern.secrets": SECRETS})
        nets[0].host("192.0.2.77/24", "192.0.2.53/24")
        with name_server(peers, nets[0], tmp_path_factory.mktemp("dns")):
            yield made
        made.require_well(PASSWORD)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_daemon_that_strangers_reach_is_confined(server: Box, name: str) -> None:
    argv = ["systemd-analyze", "security", "--offline=true", f"--threshold={MOST}", "--no-pager", f"{name}.service"]
    done = server.run(*argv, check=False)
    print(*re.findall(r"Overall exposure level.*", done.stdout))
    assert done.status == 0, done.stdout


@pytest.mark.parametrize("name", [name for name in HOSTILE if name not in UNLIMITED])
def test_it_may_not_take_the_whole_memory(server: Box, name: str) -> None:
    whole = int(re.findall(r"MemTotal:\s+(\d+) kB", server.path("proc/meminfo").read_text())[0]) * 1024
    assert int(_property(server, name, "MemoryMax")) <= 3 * whole // 4


def test_every_daemon_is_on_one_of_the_lists(server: Box, gateway: Lab) -> None:
    for mode, own in (
        (server, {"dovecot", "nginx", "php8.4-fpm", "postfix", "rspamd"}),
        (gateway.box, {"nginx", "postfix"}),
    ):
        said = mode.run("systemctl", "list-units", "--type=service", "--state=running", "--plain", "--no-legend").stdout
        running = {line.split()[0].removesuffix(".service") for line in said.splitlines()}
        assert own <= running <= {*HOSTILE, *OTHERS}


def test_ssh_listens_to_strangers_without_rights(gateway: Lab) -> None:
    """Before a login OpenSSH reads in a process of its own: no account's rights, an empty root, few system calls."""
    with gateway.desk.connect(DESK_BOX, 22) as line:
        assert line.recv(100).startswith(b"SSH-2.0-")
        line.sendall(b"SSH-2.0-stranger\r\n")
        until(lambda: _pids(gateway.box, "sshd-auth"), "the process that reads", gateway.box.tail)
        process = gateway.box.path(f"proc/{_pids(gateway.box, 'sshd-auth')[0]}/status")
        # It shuts itself in a moment after it began, step by step, and reads only then.
        shut_in = r"^Uid:\s+[1-9][\s\S]*^Seccomp:\s+2$"
        until(lambda: re.search(shut_in, process.read_text(), re.MULTILINE), "its filter", process.read_text)
        status = process.read_text()
    assert not re.search(r"^Uid:\s+0", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.MULTILINE)


# All that testssl looks at but for the clients that it plays, which find no faults in a quarter of its time.
SECTIONS = ("-p", "-s", "-f", "-P", "-S", "-h", "-U")
# By port, how testssl begins there. All of them at once take one to two minutes.
ENCRYPTED = {25: ["-t", "smtp"], 465: [], 587: ["-t", "smtp"], 993: [], 995: [], 443: []}
# A certificate that the box made for itself is trusted here as who connects to it must; nobody can call it back, and it
# lasts as long as the box.
SELF_MADE = {"cert_extlifeSpan", "cert_revocation"}
# The grade that testssl gives to every STARTTLS, whatever the server does: who stands between may take away the offer.
ANY_STARTTLS = "Grade capped to T. STARTTLS is prone to MITM downgrade attacks."


@pytest.fixture(scope="module")
def findings(server: Box, peers: Peers, tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[dict[str, str]]]:
    """What testssl.sh says of each port."""
    folder = tmp_path_factory.mktemp("testssl")
    shutil.copy(server.path("var/lib/postern/device/tls/cert.pem"), folder / "cert.pem")

    def look(port: int) -> list[dict[str, str]]:
        report = folder / f"{port}.json"
        options = [*SECTIONS, "--quiet", "--warnings=off", "--color=0", "--nodns=none", f"--ip={ADDRESS}"]
        options += [f"--add-ca={inside(folder / 'cert.pem')}", f"--jsonfile={inside(report)}", *ENCRYPTED[port]]
        argv = peers.command("testssl", *options, f"{NAME}:{port}", namespace=server.segments[0].namespace)
        done = run.run(argv, check=False, timeout=600)
        assert report.exists(), done.stdout[-2000:]
        found: list[dict[str, str]] = json.loads(report.read_text())
        return found

    with ThreadPoolExecutor(len(ENCRYPTED)) as pool:
        return dict(zip(ENCRYPTED, pool.map(look, ENCRYPTED), strict=True))


@pytest.mark.parametrize("port", ENCRYPTED)
def test_its_encryption_has_no_fault_above_low(findings: dict[int, list[dict[str, str]]], port: int) -> None:
    found = findings[port]
    assert len(found) > 80
    assert {"TLS1_2", "TLS1_3", "heartbleed", "ROBOT", "overall_grade"} <= {one["id"] for one in found}
    worse = {one["id"]: one["finding"] for one in found if one["severity"] in ("MEDIUM", "HIGH", "CRITICAL", "FATAL")}
    if ENCRYPTED[port]:
        (why,) = (one["finding"] for one in found if one["id"].startswith("grade_cap_reason"))
        assert why.startswith(ANY_STARTTLS)
        assert worse.pop("overall_grade") == "T"
    assert {name: said for name, said in worse.items() if name not in SELF_MADE} == {}


# lynis's warnings that are not about the box, with their reasons.
NOT_OURS = {
    "PKGS-7390": "asks apt whether packages are whole; they came with the image, whose root is verified block by block",
}


def test_lynis_has_no_warning(server: Box, peers: Peers) -> None:
    """Debian's lynis, carried into the box for the time of the test; it takes ours for the Debian it is made from."""
    there = server.path("run/lynis")
    shutil.copytree(peers.root / "usr/share/lynis", there)
    shutil.copytree(peers.root / "etc/lynis", there, dirs_exist_ok=True)
    shutil.copy(peers.root / "usr/sbin/lynis", there)
    known = there / "include/osdetection"
    known.write_text(known.read_text().replace('"debian")', '"debian" | "postern")'))
    files = "--profile ./default.prf --plugindir ./plugins --logfile ./log --report-file ./report"
    server.run("sh", "-c", f"cd /run/lynis && exec sh ./lynis audit system --quick --no-colors {files}", timeout=400)
    report = (there / "report").read_text()
    print(*re.findall(r"^hardening_index=.*", report, re.MULTILINE))
    assert (there / "log").read_text().count("Performing test ID") > 200
    assert set(re.findall(r"^warning\[\]=([^|]+)", report, re.MULTILINE)) <= NOT_OURS.keys(), report


def _pids(of: Box, program: str) -> list[str]:
    return of.run("pgrep", "--full", program, check=False).stdout.split()


def _property(of: Box, name: str, what: str) -> str:
    return of.run("systemctl", "show", "--value", f"--property={what}", f"{name}.service").stdout.strip()
