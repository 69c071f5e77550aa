"""What is said of a certificate by openssl: whose it is, until when, and why it cannot be the box's."""

from __future__ import annotations

import os
import re
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hardware.host.errors import Problem, refuse
from hardware.host.run import Failed, run
from installer.apply.places import Places
from overlays.pem import read_chain, read_private_key
from overlays.settings import Secrets, Settings

SETTING = "web.certificate"
SOON = timedelta(days=21)  # an authority's shortest live for 45 days or less: long enough to be read and acted upon
_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", re.DOTALL)
_PRINT = ("-subject", "-issuer", "-startdate", "-enddate", "-fingerprint", "-sha256", "-ext", "subjectAltName")
_TIMEOUT = 30.0
_LONGEST = 1 << 16


@dataclass(frozen=True)
class Pair:
    """A certificate with those that lead to its root, and its private key; both in PEM."""

    chain: str
    key: str = field(repr=False)


@dataclass(frozen=True)
class Certificate:
    """What one certificate says."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    begins: datetime
    ends: datetime
    fingerprint: str  # SHA-256
    public_key: str

    def is_for(self, name: str) -> bool:
        """Does a client accept it for that name? A star stands for the first label and nothing more."""
        return name in self.names or f"*.{name.partition('.')[2]}" in self.names


def read(pem: str) -> Certificate:
    """The first certificate of a text. Raises `Failed` when openssl cannot read it."""
    argv = [
        "openssl",
        "x509",
        "-noout",
        "-nameopt",
        "RFC2253,utf8,-esc_msb",
        "-dateopt",
        "iso_8601",
        *_PRINT,
        "-pubkey",
    ]
    said = run(argv, stdin=pem, timeout=_TIMEOUT).stdout
    facts = dict(re.findall(r"^([A-Za-z0-9 ]+?)=(.*)$", said, re.MULTILINE))
    key = re.search(r"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----\n", said, re.DOTALL)
    try:
        return Certificate(
            subject=facts["subject"],
            issuer=facts["issuer"],
            names=tuple(name.lower() for name in re.findall(r"\bDNS:([^,\s]+)", said)),
            begins=_time(facts["notBefore"]),
            ends=_time(facts["notAfter"]),
            fingerprint=facts["sha256 Fingerprint"],
            public_key=key[0] if key else "",
        )
    except (KeyError, ValueError) as wrong:
        raise Failed(argv, 0, said) from wrong


def pair_of(settings: Settings, secrets: Secrets) -> Pair | None:
    """The certificate that the settings give the box; None when it shows its own."""
    if settings.web.certificate is None or secrets.web.key is None:
        return None
    return Pair(settings.web.certificate, secrets.web.key.get_secret_value())


def given(places: Places, name: str) -> Pair:
    """What an authority gave. It lies with an account that speaks to strangers: no link and no pipe is opened."""
    try:
        chain = read_chain(_text(places.acme / name / "cert.pem"))
        return Pair(chain, read_private_key(_text(places.acme / "private" / name / "key.pem")).get_secret_value())
    except ValueError as error:
        raise refuse(str(error), where="ACME") from error


def _text(path: Path) -> str:
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError
            return file.read(_LONGEST)
    except (OSError, UnicodeDecodeError) as error:
        raise refuse("cannot be read: the authority gave nothing that a box can show", where=str(path)) from error


def problems(pair: Pair, name: str, now: datetime | None = None, source: str = "settings") -> list[Problem]:
    """Every reason why a box of that name cannot show this certificate at that time."""
    today = now or datetime.now(UTC)
    blocks = _BLOCK.findall(pair.chain)
    read_ones: list[Certificate] = []
    for number, block in enumerate(blocks, 1):
        try:
            read_ones.append(read(block))
        except Failed:
            return [Problem(source, SETTING, f"certificate {number} cannot be read by openssl")]
    found = [*_own(read_ones, name, pair.key), *_times(read_ones, today), *_chain(blocks, read_ones)]
    return [Problem(source, SETTING, message, hint) for message, hint in found]


def _own(chain: list[Certificate], name: str, key: str) -> Iterator[tuple[str, str]]:
    """What is wrong with the first one."""
    if not chain[0].is_for(name):
        yield (
            f"is for {', '.join(chain[0].names) or 'no name'}, and the box is {name}",
            "mail servers would not trust it",
        )
    try:
        public = run(["openssl", "pkey", "-pubout"], stdin=key, timeout=_TIMEOUT).stdout
    except Failed:
        yield "its private key cannot be read by openssl", "web.key in the secrets file"
        return
    others = [number for number, one in enumerate(chain[1:], 2) if one.public_key == public]
    if others:
        yield (
            f"the key is that of certificate {others[0]}",
            "the box's own comes first, then those that lead to its root",
        )
    elif chain[0].public_key != public:
        yield "the private key is that of another certificate", "web.key in the secrets file"


def _times(chain: list[Certificate], today: datetime) -> Iterator[tuple[str, str]]:
    for number, one in enumerate(chain, 1):
        if one.ends <= today:
            yield f"certificate {number} ended on {one.ends:%Y-%m-%d}", ""
        if one.begins > today:
            yield f"certificate {number} begins on {one.begins:%Y-%m-%d}, and it is {today:%Y-%m-%d}", ""


def _chain(blocks: list[str], chain: list[Certificate]) -> Iterator[tuple[str, str]]:
    """Each is signed by the next, and each is strong enough for the daemons of today; the last may lack its root."""
    with tempfile.TemporaryDirectory(prefix="postern-") as folder:
        paths = [Path(folder, f"{number}.pem") for number in range(len(blocks))]
        for path, block in zip(paths, blocks, strict=True):
            path.write_text(block, encoding="ascii")
        for number, path in enumerate(paths, 1):
            signer = paths[number] if number < len(paths) else path
            words = ("openssl", "verify", "-partial_chain", "-no_check_time", "-auth_level", "2", "-trusted")
            done = run([*words, signer, path], check=False, timeout=_TIMEOUT)
            if done.status == 0:
                continue
            if "too weak" in done.stderr:
                yield (
                    f"certificate {number} is too weak: its key or its signature's hash",
                    "RSA of 2048 bits and SHA-256",
                )
            elif signer is not path:
                yield (
                    f"certificate {number} ({chain[number - 1].subject}) is not signed by certificate {number + 1}",
                    "the box's own comes first, then those that lead to its root, each once",
                )


def _time(text: str) -> datetime:
    return datetime.strptime(text.strip(), "%Y-%m-%d %H:%M:%SZ").replace(tzinfo=UTC)
