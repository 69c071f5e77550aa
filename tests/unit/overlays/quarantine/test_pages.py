"""The pages without a store: what they refuse, and what they leave out of the log. The container lane has the rest."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from overlays.quarantine import links, pages
from overlays.quarantine.links import Act, Link
from overlays.quarantine.records import Records
from tests.unit.overlays.quarantine.test_policy import POLICY

BASE = "https://mx1.mail.example.org"


@pytest.fixture
def policy_file(tmp_path: Path) -> Path:
    path = tmp_path / "policy.json"
    path.write_text(POLICY.model_dump_json())
    return path


@pytest.fixture
def client(policy_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    (tmp_path / "quarantine-key").write_text("k" * 64)
    (tmp_path / "quarantine-admin").write_text("*\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    return pages.application(policy_file, Records(tmp_path / "records")).test_client()


def token(client: FlaskClient) -> str:
    (found,) = re.findall(r'name="form" value="([^"]+)"', client.get("/quarantine/login", base_url=BASE).text)
    return str(found)


def log_in(client: FlaskClient, user: str, password: str) -> int:
    form = {"form": token(client), "user": user, "password": password}
    return client.post("/quarantine/login", data=form, base_url=BASE).status_code


@pytest.mark.parametrize("user", ["", "admin", "ann@example.com", "ann@elsewhere.example", "system@quarantine.invalid"])
def test_nobody_gets_in_whom_no_server_knows(client: FlaskClient, user: str) -> None:
    assert log_in(client, user, "anything") == 403


def test_the_log_holds_neither_passwords_nor_lines_of_strangers(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    log_in(client, "Crane-wades~90-reed", "Crane-wades~90-reed")
    log_in(client, "ann@example.com\nlogin user=<admin> right", "x")
    assert "Crane-wades~90-reed".lower() not in caplog.text.lower()
    assert "user=<admin>" not in caplog.text
    assert caplog.text.count("no address") == 2


def test_a_fault_of_ours_does_not_write_a_link_into_the_log(
    client: FlaskClient, policy_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    word = links.seal(b"k" * 32, Link("ann@example.com", f"{'a' * 32}.1", Act.RELEASE, int(time.time()) + 60))
    policy_file.write_text("{")
    answer = client.get(f"/quarantine/link/{word}", base_url=BASE)
    assert answer.status_code == 503
    assert "no answer for link" in caplog.text
    assert word not in caplog.text


def test_who_fails_too_often_has_to_wait(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [log_in(client, "ann@example.com", "wrong") for _ in range(6)] == [403] * 5 + [429]
    assert log_in(client, "bob@example.com", "wrong") == 403
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 1000)
    assert log_in(client, "ann@example.com", "wrong") == 403


def test_every_page_says_what_it_may_do(client: FlaskClient) -> None:
    for path in ("/quarantine/login", "/quarantine/link/nothing", "/quarantine/nothing"):
        answer = client.get(path, base_url=BASE)
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
