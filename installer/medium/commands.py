"""`build.py medium`: what a medium is to bring is read first, with every problem at once; then it is made."""

from __future__ import annotations

import json
import os
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from hardware import profile as profiles
from hardware.host.errors import Problem, Refused, refuse
from hardware.host.files import default_cache
from hardware.host.log import Steps
from images import archive, manifest, medium, recipe, tools
from images.answers import read, read_secrets, sealed
from images.steps.media import Brought
from images.store import Store
from installer.medium.rules import Rules
from overlays.pem import read_authorities
from overlays.problems import problems as settings_problems
from overlays.settings import Settings


def make(arguments: Namespace) -> int:
    """Make `out/<profile>/medium.iso` of the image beside it."""
    profile = profiles.load(arguments.profile)
    image = arguments.out.absolute() / profile.id
    found = manifest.load(image)
    problems: list[Problem] = []
    settings = read(arguments.answers, Settings, problems)
    secrets = None if sealed(arguments.secrets) else read_secrets(arguments.secrets, None, problems)
    read(arguments.install, Rules, problems)
    if settings:
        problems += settings_problems(settings, profile, str(arguments.answers), secrets)
    if arguments.secrets and not arguments.answers:
        problems.append(Problem("--secrets", "", "goes with an answer file", "name it with --answers FILE"))
    if arguments.network and arguments.answers:
        problems.append(Problem("--answers", "", "does not go with --network", "put them on a volume labelled POSTERN"))
    if arguments.ca:
        problems += _authority(arguments.ca)
    if arguments.ca and not arguments.network:
        problems.append(Problem("--ca", "", "goes with --network", "a stick or CD has its image with it"))
    if problems:
        raise Refused(problems)
    if os.geteuid() != 0:
        raise refuse("a medium needs root", "start it again with sudo")
    store = Store(default_cache())
    state = archive.reached(recipe.load("appliance").suite, arguments.mirror, arguments.security_mirror)
    toolbox = tools.tools_tree(store, state)
    brought = Brought(arguments.answers, arguments.secrets, arguments.install, arguments.ca)
    if arguments.network:
        target = image / "network"
        medium.build_network(image, profile, brought, target, toolbox, Steps(medium.NETWORK_STEPS))
        hint = "Serve it by TFTP or HTTP. A box loads boot.ipxe by iPXE, else grubx64.efi by UEFI or grub.0 by BIOS."
    else:
        target = image / "medium.iso"
        medium.build(image, profile, brought, target, toolbox, Steps(medium.STEPS))
        hint = "Copied byte for byte to a stick (by dd, say), or burnt to a CD, it starts the box."
    if arguments.json:
        print(json.dumps({"path": str(target)}, indent=1))
    else:
        print(f"{target}: installs Postern {found.version} for {profile.id}\n{hint}")
    return 0


def _authority(path: Path) -> list[Problem]:
    """Why the certificates in that file cannot be trusted."""
    try:
        read_authorities(path.read_text(errors="replace"))
    except OSError as error:
        return [Problem(str(path), "", f"cannot be read: {error.strerror}")]
    except ValueError as error:
        return [Problem(str(path), "", str(error))]
    return []


COMMANDS: dict[str, Callable[[Namespace], int]] = {"medium": make}
