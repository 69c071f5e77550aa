"""`postern certificate`: what the box shows, another one in its place, and back."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from hardware.host.errors import Problem, Refused, refuse
from hardware.host.run import Failed
from installer.apply import certificate, device, pipeline
from installer.apply.pipeline import Box
from installer.apply.places import Places
from installer.box import caller
from installer.box.change import InForce, in_force, open_box, put_in_force
from overlays.settings import parse_answers, parse_secrets


@dataclass(frozen=True)
class Shown:
    """The certificate that the box shows."""

    source: str  # made (on the box), own (from the settings) or acme (from an authority)
    subject: str
    issuer: str
    names: tuple[str, ...]
    begins: str  # UTC, ISO 8601
    ends: str
    days_left: int
    sha256: str

    @property
    def ending(self) -> str:
        """What to say of its end, if that is near; empty otherwise."""
        if self.days_left >= certificate.SOON.days:
            return ""
        return f"the certificate {'ends' if self.days_left >= 0 else 'ended'} on {self.ends[:10]}"


def main(places: Places, arguments: argparse.Namespace) -> None:
    """The verbs of `postern certificate`. Raises `Refused`."""
    if arguments.verb == "show":
        print("\n".join(_lines(shown(places))))
        return
    box = open_box(places)
    now = in_force(box)
    if arguments.verb == "import":
        chain, key = _texts(arguments.certificate, arguments.key)
        _put(box, now, chain, key, arguments.reason or f"certificate {arguments.certificate.name}")
    elif (now.settings.web.certificate or now.settings.web.acme) and arguments.verb == "remove":
        _put(box, now, None, None, arguments.reason or "the box's own certificate again")
    elif now.settings.web.acme:
        raise refuse("the certificate comes by ACME", "it is renewed in time; `postern certificate remove` ends that")
    elif now.settings.web.certificate:
        raise refuse("the certificate comes from the settings", "`postern certificate import` takes another one")
    elif arguments.verb == "remove":
        raise refuse("the box shows the certificate that it made itself: there is nothing to remove")
    else:
        pipeline.renew_certificate(box, now.settings, now.secrets)
        print("\n".join(_lines(shown(places))))


def shown(places: Places) -> Shown:
    """What the box shows. Raises `Refused` before it has made one, and when it cannot be read."""
    path = places.device / "tls/cert.pem"
    try:
        found = certificate.read(path.read_text(encoding="ascii"))
    except (OSError, Failed) as error:
        raise refuse("the box's certificate cannot be read", where=str(path)) from error
    return Shown(
        source=device.source(places),
        subject=found.subject,
        issuer=found.issuer,
        names=found.names,
        begins=found.begins.isoformat(),
        ends=found.ends.isoformat(),
        days_left=(found.ends - datetime.now(UTC)).days,
        sha256=found.fingerprint,
    )


def _texts(*paths: Path) -> list[str]:
    """Files that the caller may read. Raises `Refused` with every one that cannot be."""
    texts, found = [], []
    with caller.rights():
        for path in paths:
            try:
                texts.append(path.read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "is not PEM, which is text"
                found.append(Problem(str(path), "", f"cannot be read: {reason}"))
    if found:
        raise Refused(found)
    return texts


def _put(box: Box, now: InForce, chain: str | None, key: str | None, reason: str) -> None:
    """The settings in force with this certificate instead of theirs."""
    settings = now.settings.model_dump(mode="json")
    settings["web"] |= {"certificate": chain, "acme": None}
    secrets = now.secrets.model_dump(mode="json")
    secrets["web"]["key"] = key
    changed = (
        parse_answers(json.dumps(settings), "certificate"),
        parse_secrets(json.dumps(secrets), "key"),
    )
    put_in_force(box, *changed, reason, "certificate")


def _lines(one: Shown) -> list[str]:
    sources = {"made": "made by the box itself", "own": "from the settings", "acme": "from an authority, by ACME"}
    rows = [
        ("Source", sources[one.source]),
        ("For", ", ".join(one.names)),
        ("Subject", one.subject),
        ("Issuer", one.issuer),
        ("Valid", f"{one.begins[:10]} to {one.ends[:10]}, {one.days_left} days left"),
        ("SHA-256", one.sha256),
    ]
    return [f"{label:8} {text}" for label, text in rows]
