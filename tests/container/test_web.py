"""The web server: what it shows, what it says with it, and what it keeps to itself."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from hardware.host import run
from tests.container.box import until
from tests.container.http import Http
from tests.container.lab import ADMIN, DESK_BOX, INSIDE_BOX, NEIGHBOUR, TRUSTED, Lab

NAME = "mx1.mail.example.org"
# On every answer, whatever its status and whoever made it.
HEADERS = {
    "strict-transport-security": "max-age=31536000",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "server": "nginx",
}


@pytest.fixture(scope="module")
def http(gateway: Lab) -> Http:
    """A user's browser inside."""
    certificate = gateway.folder / "box.pem"
    certificate.write_text(gateway.box.path("var/lib/postern/device/tls/cert.pem").read_text())
    return Http(gateway.peers, gateway.inside, NAME, INSIDE_BOX, certificate, TRUSTED)


def _line(gateway: Lab, *options: str) -> tuple[int, str]:
    """What openssl says to an attempt at a TLS session with the web server."""
    argv = ["openssl", "s_client", "-connect", f"{INSIDE_BOX}:443", "-servername", NAME, *options]
    done = run.run(gateway.peers.command(*argv, namespace=gateway.inside.namespace), stdin="", check=False, timeout=30)
    return done.status, done.stdout + done.stderr


@pytest.mark.parametrize("path", ["/", "/quarantine/", "/what/ever?word=1", "/.well-known/security.txt"])
def test_without_encryption_there_is_only_the_way_to_it(http: Http, path: str) -> None:
    answer = http.get(path, scheme="http")
    assert (answer.status, answer.headers["location"]) == (301, f"https://{NAME}{path}")


def test_who_names_no_page_is_led_to_the_quarantine(http: Http) -> None:
    answer = http.get("/")
    assert (answer.status, answer.headers["location"]) == (302, f"https://{NAME}/quarantine/")


def test_a_program_that_is_away_has_a_page_that_says_so(gateway: Lab, http: Http) -> None:
    answer = replace(http, source=NEIGHBOUR).get("/page/away.html")
    assert answer.status == 200
    assert "try again in a minute" in answer.body
    (style,) = re.findall(r'rel="stylesheet" href="([^"]+)"', answer.body)
    assert http.get(style).headers["content-type"] == "text/css"


@pytest.mark.parametrize("path", ["/", "/quarantine/", "/nothing", "/page/postern.css", "/page/", "/%00"])
def test_every_answer_carries_the_headers(http: Http, path: str) -> None:
    answer = http.get(path)
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors" in policy


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "/../etc/passwd",
        "/page/../../../../etc/passwd",
        "/page/..%2f..%2f..%2f..%2fetc/passwd",
        "/page/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/page../etc/passwd",
        "/page/postern.css/../../../../../etc/shadow",
        "/page/postern.css%00.html",
        "//etc/passwd",
        "/webmail/",
        "/webmail/index.php",
        "/index.php",
        "/.git/config",
        "/quarantine",
    ],
)
def test_nothing_else_is_served(http: Http, path: str) -> None:
    answer = http.get(path)
    assert answer.status in (301, 400, 403, 404)
    assert "root:" not in answer.body
    assert "<?php" not in answer.body


@pytest.mark.parametrize("method", ["PUT", "DELETE", "TRACE", "PROPFIND"])
def test_a_page_can_only_be_read(http: Http, method: str) -> None:
    assert http.get("/page/postern.css", "--request", method).status == 405


def test_the_certificate_is_the_boxs_own(gateway: Lab, http: Http) -> None:
    assert http.get("/").status == 302  # curl trusts no other
    _, served = _line(gateway, "-showcerts")
    assert "".join(http.trusted.read_text().split()) in "".join(served.split())


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_an_old_protocol_is_refused(gateway: Lab, version: str) -> None:
    status, said = _line(gateway, version, "-cipher", "ALL:@SECLEVEL=0")
    assert status == 1
    assert "alert protocol version" in said


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_the_protocols_of_today_are_spoken(gateway: Lab, version: str) -> None:
    assert _line(gateway, version)[0] == 0


@pytest.mark.parametrize(
    "cipher", ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384", "AES256-SHA"]
)
def test_a_weak_cipher_is_refused(gateway: Lab, cipher: str) -> None:
    status, said = _line(gateway, "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0")
    assert status == 1
    assert "handshake failure" in said


def test_who_guesses_on_is_slowed_down_alone(http: Http) -> None:
    def attempt(source: str) -> int:
        form = {"user": "ann@example.com", "password": "a guess"}
        return replace(http, source=source).post("/quarantine/login", form).status

    assert 429 in [attempt(TRUSTED) for _ in range(12)]
    assert http.get("/").status == 302
    assert attempt(NEIGHBOUR) != 429


def test_the_log_knows_who_asked_and_not_for_what(gateway: Lab, http: Http) -> None:
    http.get("/quarantine/release/Tail-of-a-key?token=Rest-of-it")
    until(lambda: f"{TRUSTED} GET quarantine" in gateway.box.journal("-t", "nginx"), "the line in the journal")
    said = gateway.box.journal()
    assert "Tail-of-a-key" not in said
    assert "Rest-of-it" not in said


def test_no_process_of_it_is_root(gateway: Lab) -> None:
    users = gateway.box.run("ps", "-C", "nginx", "-o", "user=").stdout.split()
    assert len(users) == 3
    assert set(users) == {"proxy"}


def test_only_the_web_server_and_root_can_read_the_key(gateway: Lab) -> None:
    key = "/var/lib/postern/device/tls/key.pem"

    def reads(user: str) -> bool:
        return (
            gateway.box.run(
                "setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "cat", key, check=False
            ).status
            == 0
        )

    assert [user for user in ("proxy", "www-data", "nobody", "postfix", "admin") if reads(user)] == ["proxy"]


def test_the_desk_has_no_way_but_the_encrypted_one(gateway: Lab) -> None:
    assert gateway.desk.answers(DESK_BOX, 443, ADMIN)
    assert not gateway.desk.answers(DESK_BOX, 80, ADMIN)
