"""Which model is the box we stand on, and may the image of one model run on it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hardware import profile as profiles
from hardware.host.errors import refuse
from hardware.parts import Facts, Firmware
from hardware.profile import HardwareProfile

COMMAND_LINE = "proc/cmdline"
CREDENTIAL = "postern.profile"
SYSTEM_CREDENTIALS = "run/credentials/@system"


@dataclass(frozen=True)
class Claim:
    """The profile that an image says it is for. `where` is what said so; `forced`: whatever box this is."""

    profile: str
    where: str
    forced: bool


def read_facts(root: Path) -> Facts:
    """What the firmware tells of the box. A text that it does not give is empty, as in a container."""

    def dmi(name: str) -> str:
        try:
            return (root / "sys/class/dmi/id" / name).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return ""

    firmware = Firmware.UEFI if (root / "sys/firmware/efi").is_dir() else Firmware.BIOS
    return Facts(dmi("sys_vendor"), dmi("product_name"), dmi("board_name"), firmware)


def read_claim(root: Path, environ: Mapping[str, str] = os.environ) -> Claim:
    """The image's profile: from the kernel command line, else from the credential, which a container has.

    A credential is given by whoever runs the box, so it counts as forced. Raises `Refused` when neither is there.
    """
    try:
        words = (root / COMMAND_LINE).read_text(encoding="utf-8").split()
    except OSError:
        words = []
    arguments = dict(word.partition("=")[::2] for word in words)  # the last one counts, as for the kernel
    if name := arguments.get("postern.profile"):
        forced = arguments.get("postern.force", "no") in ("", "1", "yes", "true")
        return Claim(name, "kernel command line", forced)
    for folder in (environ.get("CREDENTIALS_DIRECTORY"), SYSTEM_CREDENTIALS):
        credential = root / folder.lstrip("/") / CREDENTIAL if folder else None
        if credential and credential.is_file():
            return Claim(credential.read_text(encoding="utf-8").strip(), f"credential {CREDENTIAL}", True)
    raise refuse(
        "nothing says which hardware profile this image is for",
        "postern.profile=NAME on the kernel command line does, or a systemd credential of that name",
    )


def matches(profile: HardwareProfile, facts: Facts) -> bool:
    return any(match.accepts(facts) for match in profile.match)


def identify(facts: Facts, candidates: Iterable[HardwareProfile] | None = None) -> HardwareProfile | None:
    """The profile that these facts look like: of those that match, the one that asks for most."""
    fitting = [
        (match.specificity, profile.id, profile)
        for profile in (profiles.load_all() if candidates is None else candidates)
        for match in profile.match
        if match.accepts(facts)
    ]
    return max(fitting, key=lambda entry: entry[:2])[2] if fitting else None


def check_box(root: Path, environ: Mapping[str, str] = os.environ) -> HardwareProfile:
    """The profile this box runs with. Raises `Refused` when the image is for another model and nobody forced it."""
    claim = read_claim(root, environ)
    profile = profiles.load(claim.profile)
    facts = read_facts(root)
    if claim.forced or matches(profile, facts):
        return profile
    like = identify(facts)
    looks = f"looks like {like.id} ({like.vendor} {like.model})" if like else "looks like no model we know"
    flash = f"flash the image for {like.id}, or " if like else ""
    raise refuse(
        f"this image is for {profile.id} ({profile.vendor} {profile.model}), and this box {looks}: {facts}",
        f"{flash}add postern.force to the kernel command line to run it all the same",
        where=claim.where,
        path="postern.profile",
    )
