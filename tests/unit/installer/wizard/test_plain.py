"""The plain form by a program at a real terminal: only lines, and every word of the operator's in plain sight."""

from __future__ import annotations

import io
import re
import shutil
import signal
from pathlib import Path

import pexpect
import pytest

from installer.apply.places import Places
from installer.apply.store import Store
from installer.wizard.plain import PlainUi
from installer.wizard.ui import Choice, Field, Head, HungUp, Way
from tests.unit.installer.wizard.terminal import make_root, start

ANSWERS = Path(__file__).parents[3] / "answers"
PASSWORD = "correct horse 7"
RELAY_PASSWORD = "wren~and=finch"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_root(tmp_path)


def to_domains(child: pexpect.spawn[str]) -> None:
    """From the welcome to the menu of protected domains, one answer wrong on the way."""
    talk = [
        (r"console ttyS0\)", "plain"),
        (r"Your choice \[1\]: ", ""),
        (r"Password \(not shown\): ", PASSWORD),
        (r"Strength: strong\.[\s\S]*The same again \(not shown\): ", PASSWORD),
        (r"SSH public key .*: ", ""),
        (r"== Ports ==[\s\S]*Your choice \[5\]: ", "port1"),
        (r"! port1: the box has no such port[\s\S]*Your choice \[1\]: ", "done"),
        (r"== Network: port1 ==[\s\S]*Addresses \(with prefix\) \[192.168.1.99/24\]: ", "192.0.2.10"),
        (r"Allowed services .*\[ping ssh smtp\]: ", ""),
        (r"! Addresses: '192.0.2.10' is not an address[\s\S]*\[192.0.2.10\]: ", "192.0.2.10/24"),
        (r"Allowed services .*\[ping ssh smtp\]: ", ""),
    ]
    for port in ("port2", "port3", "port4"):
        talk += [(rf"== Network: {port} ==[\s\S]*Addresses .*\[\]: ", ""), (r"Allowed services .*: ", "")]
    talk += [
        (r"== More links ==[\s\S]*Your choice \[2\]: ", ""),
        (r"Default gateway .*: ", "192.0.2.1"),
        (r"Name servers .*: ", "192.0.2.53"),
        (r"Time zone .*\[UTC\]: ", "zurich"),
        (r"NTP servers .*: ", ""),
        (r"Host name .*: ", "mx1"),
        (r"Local domain .*: ", "mail.example.org"),
    ]
    for prompt, answer in talk:
        child.expect(prompt)
        child.sendline(answer)


def add_domain(child: pexpect.spawn[str]) -> None:
    talk = [
        (r"Your choice \[1\]: ", "add"),
        (r"Domain .*: ", "example.com"),
        (r"Its mail server .*: ", "192.0.2.25"),
        (r"Port \[25\]: ", ""),
        (r"Verify .*: ", ""),
        (r"== Users of example.com ==[\s\S]*Protocol .*\[none\]: ", "imap"),
        (r"Encryption .*\[tls\]: ", ""),
        (r"Port .*: ", ""),
        (r"Certificate .*\[yes\]: ", "no"),
        (r"Your choice \[3\]: ", "done"),
        (r"== Incoming mail ==[\s\S]*Antispam .*\[medium\]: ", "high"),
        (r"Antivirus .*\[on\]: ", ""),
        (r"Spam .*\[quarantine\]: ", "?"),
        (r"Spam\s+beyond\s+doubt\s+is\s+refused[\s\S]*Spam .*\[quarantine\]: ", "subject"),
        (r"== Outgoing mail ==[\s\S]*Antispam .*\[off\]: ", ""),
        (r"Antivirus .*\[on\]: ", ""),
        (r"Spam .*\[quarantine\]: ", ""),
        (r"== Access rules ==[\s\S]*Your choice \[2\]: ", ""),
        (r"== Smart host ==[\s\S]*Smart host .*: ", "smart.example.net"),
        (r"Port \[25\]: ", "587"),
        (r"MX .*\[no\]: ", ""),
        (r"Encryption .*\[verify\]: ", ""),
        (r"Certificate .*: ", ""),
        (r"User .*: ", "mx1"),
        (r"== Password of mx1 ==[\s\S]*Password \(not shown\): ", RELAY_PASSWORD),
        (r"The same again \(not shown\): ", RELAY_PASSWORD),
        (r"ACME directory .*: ", ""),
        (r"Contact .*: ", ""),
        *[(rf"{field}.*: ", "") for field in ("Log server", "Transport", "Port", "Certificate", "Records", "Level")],
    ]
    for prompt, answer in talk:
        child.expect(prompt)
        child.sendline(answer)


def test_from_the_welcome_to_service(root: Path) -> None:
    (root / "run/postern/refuse-once").write_text("port 25 is taken")
    child = start(root, TERM="dumb")
    heard = io.StringIO()
    child.logfile_read = heard
    to_domains(child)
    add_domain(child)
    child.expect(r"Mail host      mx1.mail.example.org")
    child.expect(r"Domain         example.com to 192.0.2.25 port 25, verify smtp")
    child.expect(r"Your choice \[1\]: ")
    child.sendline("apply")
    child.expect(r"Applying the settings for fortimail-100:")
    child.expect(r"! nft: port 25 is taken[\s\S]*Your choice \[1\]: ")
    child.sendline("1")
    child.expect(r"== In force ==[\s\S]*1[^\n]*Finish[\s\S]*Your choice \[1\]: ")
    child.sendline("")
    child.expect("Log in as admin")
    child.expect("the login program")
    child.expect(pexpect.EOF)
    assert PASSWORD not in heard.getvalue()
    assert RELAY_PASSWORD not in heard.getvalue()
    assert "\x1b" not in heard.getvalue()
    assert (root / "proc/sys/kernel/printk").read_text() == "4 4 1 7\n"
    places = Places(root)
    store = Store(places)
    current = store.current()
    assert current
    settings, secrets = store.load(current)
    assert settings.clock.timezone == "Europe/Zurich"
    assert secrets.has_password
    assert secrets.smarthost.plain == RELAY_PASSWORD
    assert settings.filtering.incoming.antispam == "high"
    assert not places.wizard_draft.exists()


def test_an_interrupted_setup_goes_on_elsewhere(root: Path) -> None:
    child = start(root)
    to_domains(child)
    child.expect(r"Your choice \[1\]: ")
    other = start(root, "tty1")
    other.expect("is being set up on console ttyS0")
    child.kill(signal.SIGHUP)
    child.wait()
    other.expect(r"Press Enter to set it up here \(console tty1\)")
    other.sendline("plain")
    other.expect(r"not finished, at the page: domains\.[\s\S]*Your choice \[1\]: ")
    other.sendline("continue")
    other.expect("== Protected domains ==")
    add_domain(other)
    other.expect("! administrator: the password has to be typed again")
    other.close(force=True)


def test_a_screen_asks_for_its_keyboard_before_the_password(root: Path) -> None:
    child = start(root, "tty1")
    for prompt, answer in (
        (r"console tty1\)", "plain"),
        (r"== Operation mode ==[\s\S]*Your choice \[1\]: ", ""),
        (r"== Keyboard ==[\s\S]*5\. de: German, Austrian[\s\S]*Your choice \[1\]: ", "de"),
    ):
        child.expect(prompt)
        child.sendline(answer)
    child.expect("Password .not shown.: ")
    loaded = (root / "loadkeys").read_text().split()
    assert loaded[3::4] == ["us", "de-latin1-nodeadkeys"]
    child.close(force=True)


def test_a_power_cut_loses_no_page_and_stores_no_password(root: Path) -> None:
    child = start(root)
    to_domains(child)
    child.expect(r"Your choice \[1\]: ")
    child.kill(signal.SIGKILL)
    child.wait()
    shutil.rmtree(root / "run")  # what a start of the box finds empty
    again = start(root)
    again.expect(r"console ttyS0\)")
    again.sendline("plain")
    again.expect(r"== Unfinished setup ==[\s\S]*at the page: domains\.[\s\S]*Your choice \[1\]: ")
    again.sendline("continue")
    again.expect(r"== Protected domains ==[\s\S]*Your choice \[1\]: ")
    again.sendline("<")
    again.expect(r"Host name .*\[mx1\]: ")
    again.close(force=True)
    stored = b"".join(path.read_bytes() for path in Places(root).state.rglob("*") if path.is_file())
    assert b"mail.example.org" in stored
    assert PASSWORD.encode() not in stored


def test_neither_ctrl_c_nor_end_of_input_leads_out(root: Path) -> None:
    child = start(root)
    child.expect(r"console ttyS0\)")
    child.sendcontrol("c")
    child.sendline("plain")
    child.expect(r"Your choice \[1\]: ")
    for key in ("c", "z", "\\"):
        child.sendcontrol(key)
    child.sendline("")
    child.expect(r"Password \(not shown\): ")
    child.sendline("<")
    child.expect(r"Your choice \[1\]: ")
    child.sendeof()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0  # getty starts it again


def test_a_refused_box_offers_no_setup(root: Path) -> None:
    (root / "run/postern/refused.txt").write_text("this image is for fortimail-100, and this box looks like vm-uefi\n")
    child = start(root)
    child.expect("this image is for fortimail-100")
    child.sendline("plain")
    child.expect("cannot be set up with this image")
    child.close(force=True)


def test_problems_of_an_answer_file_are_on_the_welcome(root: Path) -> None:
    (root / "run/postern/answers-problems.txt").write_text("answers.yaml: mode: is missing\n")
    child = start(root)
    child.expect(r"Postern 0.1.0 on unknown model\s+Hardware profile: fortimail-100\s+port1: 192.168.1.99/24")
    child.expect("answers.yaml: mode: is missing[\\s\\S]*Type answers and Enter[\\s\\S]*Press Enter")
    child.sendline("answers")
    child.expect("Reading the answer file ...")
    child.close(force=True)


def test_whom_secrets_are_encrypted_to_is_on_the_welcome_and_fits_a_line(root: Path) -> None:
    recipient = "age1" + "q" * 58
    places = Places(root)
    places.age_recipient.parent.mkdir(parents=True)
    places.age_recipient.write_text(f"{recipient}\n")
    child = start(root)
    child.expect(rf"\r\n(Secrets key: {recipient})\r\n")
    assert len(str(child.match[1])) < 80  # type: ignore[index]  # it matched
    child.close(force=True)


def test_a_passphrase_of_an_answer_files_secrets_is_asked_for_on_the_console(root: Path, tmp_path: Path) -> None:
    """After it everything is told that is wrong with the settings; nothing is applied."""
    plain, sealed = tmp_path / "secrets.yaml", tmp_path / "secrets.age"
    plain.write_text(f"format: 1\nadmin: {{password: {PASSWORD}}}\n")
    age = pexpect.spawn("age", ["-p", "-a", "-o", str(sealed), str(plain)], encoding="utf-8")
    for _ in range(2):
        age.expect("passphrase.*: ")
        age.sendline("a phrase of words")
    age.expect(pexpect.EOF)
    credentials = root / "run/credentials/@system"
    credentials.mkdir(parents=True)
    text = (ANSWERS / "gateway-minimal.yaml").read_text().replace("port1", "port9")
    (credentials / "postern.answers").write_text(text)
    (credentials / "postern.secrets").write_text(sealed.read_text())
    child = start(root)
    said = []
    for phrase, told in (
        ("another phrase", "secrets: was not opened with that passphrase"),
        ("a phrase of words", "network.ports.port9: fortimail-100 has no such port"),
    ):
        child.expect("Press Enter to set it up here")
        child.sendline("answers")
        child.expect("passphrase.*: ")
        child.sendline(phrase)
        child.expect(f"The answer file was not used:[\\s\\S]*{told}")
        said.append(str(child.before) + str(child.after))
    child.close(force=True)
    assert "phrase of words" not in "".join(said)
    assert PASSWORD not in "".join(said)


def test_a_box_in_service_has_a_login(root: Path) -> None:
    (root / "run/postern/stage").write_text("in-service\n")
    child = start(root)
    child.expect("the login program")
    child.close(force=True)


HEAD = Head("Title", "Text.", "This is the help.")


def ask(*lines: str) -> tuple[PlainUi, io.StringIO]:
    target = io.StringIO()
    return PlainUi(io.StringIO("".join(f"{line}\n" for line in lines)), target), target


def test_form_goes_back_within_itself_and_out() -> None:
    fields = [Field("a", "First", "1"), Field("b", "Second", "2")]
    ui, _ = ask("one", "back", "", "two")
    assert ui.form(HEAD, fields).value == ("one", "two")
    ui, _ = ask("one", "<", "<")
    answer = ui.form(HEAD, fields)
    assert (answer.way, answer.value) == (Way.BACK, ("one", "2"))


def test_form_starts_at_the_field_with_the_problem() -> None:
    ui, target = ask("right")
    fields = [Field("a", "First", "1"), Field("b", "Second", "wrong", problem="is wrong")]
    assert ui.form(HEAD, fields).value == ("1", "right")
    assert "! Second: is wrong" in target.getvalue()


def test_minus_empties_a_field_and_help_asks_again() -> None:
    ui, target = ask("?", "-")
    assert ui.form(HEAD, [Field("a", "First", "1")]).value == ("",)
    assert "This is the help." in target.getvalue()
    assert "goes back" in target.getvalue()


def test_menu_takes_number_word_or_default() -> None:
    choices = [Choice("apply", "do it"), Choice("save", "keep it")]
    for typed, name in (("2", "save"), ("SAVE", "save"), ("", "apply")):
        ui, _ = ask(typed)
        assert ui.menu(HEAD, choices).value == name
    ui, target = ask("3", "1")
    assert ui.menu(HEAD, choices, "save").value == "apply"
    assert "! 3 is not a choice" in target.getvalue()


def test_a_long_list_stays_on_the_screen() -> None:
    ui, target = ask("31")
    assert ui.menu(HEAD, [Choice(f"c{number}", "A kind of keyboard") for number in range(1, 32)]).value == "c31"
    lines = target.getvalue().splitlines()
    assert len(lines) <= 24
    assert lines[3] == " 1. c1: A kind of keyboard   17. c17: A kind of keyboard"
    assert all(len(line) < 80 for line in lines)


def test_secret_is_asked_until_both_are_the_same() -> None:
    ui, target = ask("one two", "one tow", "one two", "one two")
    assert ui.secret(HEAD, "Password").value == "one two"
    assert "not the same" in target.getvalue()


def test_arrow_keys_leave_nothing_behind() -> None:
    ui, _ = ask("\x1b[Amx1\x1b[D\x1bOP")
    assert ui.form(HEAD, [Field("a", "Host name")]).value == ("mx1",)


def test_lines_are_wrapped_at_the_width_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    ui, target = ask("")
    ui.notice(Head("Title", "a long text " * 20))
    assert max(len(line) for line in re.split(r"\n", target.getvalue())) < 40


def test_end_of_input_hangs_up() -> None:
    ui, _ = ask()
    with pytest.raises(HungUp):
        ui.notice(HEAD)
