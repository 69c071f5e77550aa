"""The secrets that each box makes for itself: SSH host keys, TLS key and certificate, DKIM keys, what hides and seals.
None is in the image.

Each set is made in a folder beside its place, flushed, and renamed: a box that loses power meanwhile has all of a set
or none of it.

    /var/lib/postern/device/ssh/                      host keys
    /var/lib/postern/device/webmail/key               hides the passwords of who is logged in
    /var/lib/postern/device/quarantine/key            seals links and sessions
    /var/lib/postern/device/age/                      opens secrets files that were encrypted to this box
    /var/lib/postern/device/tls -> certificate/made   what the daemons show: key.pem and cert.pem
    /var/lib/postern/device/certificate/made/         made on the box, for its name
    /var/lib/postern/device/certificate/own-DIGEST/   from the settings
    /var/lib/postern/device/certificate/acme-DIGEST/  from an authority, for its name
"""

from __future__ import annotations

import grp
import os
import re
import secrets
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

from hardware.host import age, files
from hardware.host.run import run
from installer.apply.certificate import Pair
from installer.apply.places import Places

# A box without a battery starts in the past; its certificate must be valid before the first time signal.
_NOT_BEFORE, _NOT_AFTER = "20240101000000Z", "20491231235959Z"
# The web server reads the key as this group: it is never root, and nothing else runs with it.
_WEB_SERVER = "proxy"
TLS = "var/lib/postern/device/tls"
# What its daemons read: the paths that `overlay.yaml` names.
SETS = frozenset(f"var/lib/postern/device/{name}" for name in ("tls", "ssh", "dkim", "webmail", "quarantine"))
# What a backup holds: all of it but the certificate that is in the settings, and which one is shown.
_KEPT = re.compile(r"(age|ssh|webmail|quarantine|dkim|certificate/(made|acme-[0-9a-f]{16}))/[A-Za-z0-9][A-Za-z0-9._-]*")
_PUBLIC = ("cert.pem", "name", "recipient")
DKIM_BITS = 2048  # the largest whose record every name server takes in one answer
_NO_SERIAL = re.compile(
    r"[0-]*|default-string|none|not-specified|not-applicable|to-be-filled-by-o-e-m|system-serial-number"
)


def ensure(places: Places, name: str, own: Pair | None = None, *, acme: bool = False) -> bool:
    """Make what is missing, and show the certificate that the settings give (`own`), else the one that an authority
    gave for this name (`acme`), else the one made here.

    True if another key or certificate is shown than before. `name` is the box's FQDN; when it has changed, the same key
    gets a certificate for the new one.
    """
    missing = prepare(places, name)
    made = places.device / "certificate/made"
    renamed = not missing and _named(made) != name
    if renamed:
        _certify(made, name)
    given = [path for path in made.parent.glob("acme-*") if _named(path) == name] if acme else []
    chosen = _keep(places, own) if own else (given or [made])[0]
    switched = _show(places, chosen)
    for path in made.parent.iterdir():
        if path not in (made, chosen):
            shutil.rmtree(path)
    return missing or switched or (renamed and chosen == made)


def prepare(places: Places, name: str) -> bool:
    """Make what is missing and change nothing else; true if something was. A box without a name has its `serial`."""
    places.device.mkdir(parents=True, exist_ok=True)
    made = places.device / "certificate/made"
    made.parent.mkdir(exist_ok=True)
    for folder in (places.device, made.parent):
        folder.chmod(0o711)
    made_ssh = _make(places.device / "ssh", _ssh_keys)
    _make(places.device / "webmail", _webmail_key)
    _make(places.device / "quarantine", _quarantine_key)
    _make(places.age_key.parent, _age_key)
    _move_in(places, made)
    made_tls = _make(made, lambda folder: _tls_key(folder, name))
    if not (places.device / "tls").exists():
        _show(places, made)
    return made_ssh or made_tls


def take(places: Places, pair: Pair, name: str) -> bool:
    """Show what an authority gave for this name; true if that is another certificate than before."""
    chosen = _keep(places, pair, "acme", name)
    switched = _show(places, chosen)
    for path in chosen.parent.glob("acme-*"):
        if path != chosen:
            shutil.rmtree(path)
    return switched


def renew(places: Places, name: str) -> None:
    """Another key and certificate in place of those that were made here."""
    made = places.device / "certificate/made"
    old = made.with_name("made-before")
    shutil.rmtree(old, ignore_errors=True)
    made.rename(old)
    _make(made, lambda folder: _tls_key(folder, name))
    shutil.rmtree(old)


def source(places: Places) -> str:
    """Where the certificate that is shown comes from: `made` here, `own` (from the settings) or `acme`."""
    return (places.device / "tls").readlink().name.partition("-")[0]


def ensure_dkim(places: Places, names: Iterable[str]) -> None:
    """Make the DKIM keys that are missing, each in a file of its name. A key that signs nothing any more stays."""
    folder = places.device / "dkim"
    for name in names:
        if not (folder / name).is_file():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            argv = ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{DKIM_BITS}"]
            files.write(folder / name, run(argv, timeout=120).stdout, mode=0o600)


def is_kept(name: str) -> bool:
    """Whether a backup may hold a file of this name below the box's own folder."""
    return bool(_KEPT.fullmatch(name))


def kept(places: Places) -> dict[str, str]:
    """What a backup holds, by path below the box's own folder."""
    found = {path.relative_to(places.device).as_posix(): path for path in sorted(places.device.rglob("*"))}
    return {name: path.read_text(encoding="utf-8") for name, path in found.items() if is_kept(name) and path.is_file()}


def put_back(places: Places, files_by_name: Mapping[str, str]) -> None:
    """Make these the box's own, in place of those of the same set that it made for itself."""
    sets: defaultdict[Path, dict[str, str]] = defaultdict(dict)
    for name, text in files_by_name.items():
        sets[places.device / Path(name).parent][Path(name).name] = text
    for folder, texts in sets.items():
        before = folder.with_name(f".{folder.name}.before")
        shutil.rmtree(before, ignore_errors=True)
        if folder.exists():
            folder.rename(before)
        _make(folder, partial(_fill, texts))
        if folder.parent.name == "certificate":
            _let_read(folder)
        shutil.rmtree(before, ignore_errors=True)


def _fill(texts: Mapping[str, str], folder: Path) -> None:
    for name, text in texts.items():
        files.write(folder / name, text, mode=0o644 if name.endswith(".pub") or name in _PUBLIC else 0o600)


def serial(places: Places) -> str:
    """What to call a box that has no name yet: its serial number, as far as its maker gave it one."""
    for path in ("sys/class/dmi/id/product_serial", "sys/class/dmi/id/board_serial", "etc/machine-id"):
        try:
            text = (places.root / path).read_text(errors="replace")
        except OSError:
            continue
        word = re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:40].lower()
        if not _NO_SERIAL.fullmatch(word):
            return f"postern-{word}"
    return "postern"


def _make(folder: Path, fill: Callable[[Path], None]) -> bool:
    if folder.is_dir():
        return False
    unfinished = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    fill(unfinished)
    for path in unfinished.iterdir():
        files.sync(path)
    files.sync(unfinished)
    unfinished.rename(folder)
    files.sync(folder.parent)
    return True


def _ssh_keys(folder: Path) -> None:
    for kind in ("ed25519", "ecdsa"):
        run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "", "-f", folder / f"ssh_host_{kind}_key"], timeout=120)


def _webmail_key(folder: Path) -> None:
    files.write(folder / "key", secrets.token_urlsafe(24), mode=0o600)  # 32 characters, as AES-256 wants them


def _quarantine_key(folder: Path) -> None:
    files.write(folder / "key", f"{secrets.token_hex(32)}\n", mode=0o600)


def _age_key(folder: Path) -> None:
    key, recipient = age.make_key()
    files.write(folder / "key", key, mode=0o600)
    files.write(folder / "recipient", f"{recipient}\n")


def _tls_key(folder: Path, name: str) -> None:
    key = run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], timeout=120).stdout
    files.write(folder / "key.pem", key, mode=0o600)
    _certify(folder, name)
    _let_read(folder)


def _move_in(places: Places, made: Path) -> None:
    """A box of an earlier version keeps its key: the certificate that it made was all that it could show."""
    shown = places.device / "tls"
    if shown.is_dir() and not shown.is_symlink():
        shown.rename(made)
        _let_read(made)


def _keep(places: Places, own: Pair, origin: str = "own", name: str = "") -> Path:
    """The folder that holds this certificate; another one is another folder, so that key and certificate fit."""

    def fill(folder: Path) -> None:
        files.write(folder / "key.pem", own.key, mode=0o600)
        files.write(folder / "cert.pem", own.chain)
        files.write(folder / "name", f"{name}\n")
        _let_read(folder)

    folder = places.device / f"certificate/{origin}-{files.digest_of(own.chain, own.key)[:16]}"
    _make(folder, fill)
    return folder


def _show(places: Places, chosen: Path) -> bool:
    """Lead the daemons there; true if they were led elsewhere before."""
    link, target = places.device / "tls", chosen.relative_to(places.device)
    if link.is_symlink() and link.readlink() == target:
        return False
    beside = link.with_name(".tls.new")
    beside.unlink(missing_ok=True)
    beside.symlink_to(target)
    beside.replace(link)
    files.sync(places.device)
    return True


def _let_read(folder: Path) -> None:
    """Folder and key for root and for the web server."""
    for path, mode in ((folder, 0o750), (folder / "key.pem", 0o640)):
        path.chmod(mode)
        if os.geteuid() == 0:
            os.chown(path, 0, grp.getgrnam(_WEB_SERVER).gr_gid)


def _certify(folder: Path, name: str) -> None:
    made = run(
        [
            *("openssl", "req", "-x509", "-new", "-sha256", "-key", folder / "key.pem"),
            *("-not_before", _NOT_BEFORE, "-not_after", _NOT_AFTER, "-subj", f"/CN={name[:64]}"),
            *("-addext", f"subjectAltName=DNS:{name}", "-addext", "basicConstraints=critical,CA:FALSE"),
        ],
        timeout=120,
    )
    files.write(folder / "cert.pem", made.stdout, mode=0o644)
    files.write(folder / "name", f"{name}\n")


def _named(folder: Path) -> str:
    try:
        return (folder / "name").read_text(encoding="utf-8").strip()
    except OSError:
        return ""
