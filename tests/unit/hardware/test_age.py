"""What age has encrypted, opened by the real program: by a key, by a passphrase at a terminal, and not at all."""

from __future__ import annotations

import base64
import sys
from pathlib import Path

import pexpect
import pytest

from hardware.host import age
from hardware.host.errors import Refused

TEXT = "format: 1\nadmin: {password: correct horse battery}\n"
PASSPHRASE = "a phrase of words"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two keys (`key` and `other`), what is encrypted to the first, and what is by a passphrase."""
    made = tmp_path_factory.mktemp("age")
    for name in ("key", "other"):
        text, recipient = age.make_key()
        (made / name).write_text(text)
        (made / f"{name}.recipient").write_text(recipient)
    (made / "sealed").write_text(age.seal(TEXT, [(made / "key.recipient").read_text()]))
    (made / "plain").write_text(TEXT)
    child = pexpect.spawn("age", ["-p", "-o", str(made / "locked"), str(made / "plain")], encoding="utf-8")
    for _ in range(2):
        child.expect("passphrase.*: ")
        child.sendline(PASSPHRASE)
    child.expect(pexpect.EOF)
    return made


def refusal(raw: bytes, key: Path | None, whose: str = "") -> str:
    with pytest.raises(Refused) as refused:
        age.opened(raw, "secrets.yaml", key, whose)
    return str(refused.value)


def test_the_holder_of_the_key_reads_it(folder: Path) -> None:
    sealed = (folder / "sealed").read_bytes()
    assert age.opened(sealed, "secrets.yaml", folder / "key") == TEXT
    lines = sealed.decode().strip().splitlines()[1:-1]
    assert age.opened(base64.b64decode("".join(lines)), "secrets.yaml", folder / "key") == TEXT, "not in lines"


def test_what_is_not_encrypted_passes() -> None:
    assert age.opened(TEXT.encode(), "secrets.yaml", None) == TEXT
    assert refusal(b"\xff\xfe", None) == "secrets.yaml: cannot be read: is not UTF-8 text"


def test_why_it_cannot_be_opened(folder: Path) -> None:
    sealed = (folder / "sealed").read_bytes()
    assert refusal(sealed, None) == (
        "secrets.yaml: is encrypted (name the file of the key that opens it: --identity FILE)"
    )
    assert refusal(sealed, folder / "other", "this box has another one") == (
        "secrets.yaml: is encrypted, but not to this key (this box has another one)"
    )
    assert refusal(sealed, folder / "missing").startswith("secrets.yaml: cannot be opened: reading ")
    assert refusal(sealed[:200], folder / "key").startswith("secrets.yaml: cannot be opened: ")
    assert refusal((folder / "locked").read_bytes(), folder / "key") == (
        "secrets.yaml: is encrypted with a passphrase, and nobody can be asked here "
        "(a terminal: `postern setup --answers`, or the word answers on the console before the set-up)"
    )


@pytest.mark.parametrize("right", [True, False])
def test_a_passphrase_is_asked_for_on_the_terminal_and_not_shown(folder: Path, right: bool) -> None:
    code = (
        "from pathlib import Path; from hardware.host import age\n"
        f"print(len(age.opened(Path({str(folder / 'locked')!r}).read_bytes(), 's.yaml', None, ask=True)))"
    )
    child = pexpect.spawn(sys.executable, ["-c", code], encoding="utf-8")
    child.expect("passphrase.*: ")
    child.sendline(PASSPHRASE if right else "another phrase")
    child.expect(pexpect.EOF)
    said = str(child.before)
    assert (str(len(TEXT)) in said) is right
    assert ("s.yaml: was not opened with that passphrase" in said) is not right
    assert "phrase of words" not in said


def test_what_is_no_recipient() -> None:
    with pytest.raises(Refused, match="--recipient: malformed recipient"):
        age.seal(TEXT, ["age1nobody"])
