"""The secrets that each box makes for itself: SSH host keys, TLS key and certificate. None is in the image.

Each set is made in a folder beside its place, flushed, and renamed: a box that loses power meanwhile has all of a set
or none of it.
"""

from __future__ import annotations

import grp
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from hardware.host import files
from hardware.host.run import run
from installer.apply.places import Places

# A box without a battery starts in the past; its certificate must be valid before the first time signal.
_NOT_BEFORE, _NOT_AFTER = "20240101000000Z", "20491231235959Z"
# The web server reads the key as this group: it is never root, and nothing else runs with it.
_WEB_SERVER = "proxy"
TLS = "var/lib/postern/device/tls"
_NO_SERIAL = re.compile(
    r"[0-]*|default-string|none|not-specified|not-applicable|to-be-filled-by-o-e-m|system-serial-number"
)


def ensure(places: Places, name: str, *, rename: bool = True) -> bool:
    """Make what is missing; true if something was. `name` is the box's FQDN, or what `serial` says before it has one.

    When the name has changed, the same key gets a certificate for the new one, unless `rename` is false.
    """
    places.device.mkdir(parents=True, exist_ok=True)
    places.device.chmod(0o711)
    made_ssh = _make(places.device / "ssh", _ssh_keys)
    tls = places.device / "tls"
    made_tls = _make(tls, lambda folder: _tls_key(folder, name))
    _let_read(tls)
    if rename and not made_tls and _named(tls) != name:
        _certify(tls, name)
        return True
    return made_ssh or made_tls


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


def _tls_key(folder: Path, name: str) -> None:
    key = run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], timeout=120).stdout
    files.write(folder / "key.pem", key, mode=0o600)
    _certify(folder, name)


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
