"""What build.py's commands do once its environment is prepared; `clean` needs none and is beside."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from argparse import Namespace
from collections.abc import Callable
from dataclasses import asdict, replace
from ipaddress import IPv4Interface
from pathlib import Path

from hardware import profile as profiles
from hardware.host import run
from hardware.host.documents import nearest
from hardware.host.errors import Problem, Refused, refuse
from hardware.host.files import default_cache
from hardware.host.log import Steps
from hardware.profile import HardwareProfile
from hardware.twin import (
    FACTORY_NET,
    Drive,
    DriveBus,
    Forward,
    ImageFile,
    SerialLog,
    Terminal,
    TwinOptions,
    UserNet,
)
from images import archive, emulate, manifest, pipeline, recipe
from images.answers import answers, read, read_secrets, sealed
from images.steps import virtual
from images.steps.squash import Level
from images.steps.virtual import Format
from images.store import Store
from images.tools import Tools
from overlays.problems import problems as settings_problems
from overlays.settings import Settings

_RECIPE = "appliance"
_LANES = ("unit", "golden", "container", "machine")
_BENCH = "bench"  # figures rather than tests, and the only lane that has to be asked for
_LANES_AS_ROOT = {"container", "machine", _BENCH}
# The image's own partitions, and the least that the data partition takes.
_LEAST_DISK_GIB = 3
_TESTS = Path(__file__).parent.parent / "tests"


def build(arguments: Namespace) -> int:
    """Build an image into `out/<profile>`."""
    profile = profiles.load(arguments.profile)
    formats = _formats(arguments.formats, profile)
    what = recipe.load(_RECIPE)
    _as_root("a build")
    store = Store(default_cache())
    if arguments.offline:
        state = archive.remembered(what.suite, store)
    else:
        state = archive.reached(what.suite, arguments.mirror, arguments.security_mirror)
    level = Level.RELEASE if arguments.release else Level.DEVELOPMENT
    plan = pipeline.Plan(what, profile, level, state, arguments.out.absolute(), formats)
    made = pipeline.build(plan, default_cache(), Steps(pipeline.STEPS))
    if arguments.json:
        print(manifest.write(made), end="")
    else:
        print(f"{plan.target}: Postern {made.version} for {profile.id}")
        for item in made.artefacts:
            print(f"  {item.name:<16} {item.bytes / 1e6:8.1f} MB")
        print(f"Start it with ./build.py boot {profile.id}")
    return 0


def boot(arguments: Namespace) -> int:
    """Boot an image on its profile's virtual twin until it is shut down or the terminal ends it."""
    profile = profiles.load(arguments.profile)
    image = arguments.out / profile.id
    found = manifest.load(image)
    net = _port1(arguments, profile)
    tools = Tools(_newest_tools())
    with tempfile.TemporaryDirectory(prefix="postern-twin-") as name:
        work = Path(name)
        disk = _disk(arguments, tools, image, profile, work)
        log = arguments.out / f"{profile.id}.log"
        options = TwinOptions(
            disk=disk,
            ovmf=emulate.firmware(tools, profile, work),
            drives=_answers(arguments, tools, work),
            ports=(net,),
            serial=SerialLog(log) if arguments.headless else Terminal(),
            accelerator=emulate.accelerator(tools),
        )
        for door in net.forwards:
            print(f"127.0.0.1:{door.host_port} leads to port {door.guest_port} of the box", file=sys.stderr)
        hint = f"its console is written to {log}; Ctrl-C ends it" if arguments.headless else "Ctrl-A X ends it"
        print(f"Postern {found.version} on the virtual twin of {profile.id}: {hint}", file=sys.stderr)
        return run.attach(emulate.command(tools, profile, options)).status


def test(arguments: Namespace) -> int:
    """Run the lanes' tests with pytest."""
    lanes = arguments.lanes or _LANES
    lanes_there_are = (*_LANES, _BENCH)
    known = f"there are {', '.join(lanes_there_are)}"
    unknown = [Problem("", "", f"there is no lane {lane!r}", known) for lane in lanes if lane not in lanes_there_are]
    if unknown:
        raise Refused(unknown)
    if boxes := [lane for lane in lanes if lane in _LANES_AS_ROOT]:
        _as_root(f"the {' or the '.join(boxes)} lane")
    # A file's tests stay together, for they share its box; files are shared out (tests/conftest.py), measurements not.
    shared_out = ["--numprocesses=auto", "--dist=loadfile", "--no-loadscope-reorder"] if _BENCH not in lanes else []
    command = [sys.executable, "-m", "pytest", "--durations=10", *shared_out, *(str(_TESTS / lane) for lane in lanes)]
    command += [f"-k{arguments.only}"] if arguments.only else []
    command += [f"--mirror={arguments.mirror}"] if arguments.mirror else []
    command += [f"--security-mirror={arguments.security_mirror}"] if arguments.security_mirror else []
    kept = {name: value for name in ("CI", "NO_COLOR", "POSTERN_GOLDEN") if (value := os.environ.get(name))}
    # Linters and diskimage-builder are programs of this environment.
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return run.attach(command, env=kept | {"PATH": path, "PYTHONDONTWRITEBYTECODE": "1"}).status


def list_profiles(arguments: Namespace) -> int:
    """List the profiles, show one, or print the schema of their files."""
    if arguments.action == "schema":
        print(json.dumps(profiles.schema(), indent=2))
    elif arguments.action == "show":
        profile = profiles.load(arguments.profile)
        print(profile.model_dump_json(indent=2) if arguments.json else profiles.describe(profile))
    else:
        rows = [asdict(profiles.summary(profile)) for profile in profiles.load_all()]
        if arguments.json:
            print(json.dumps(rows, indent=2))
        else:
            _table(rows)
    return 0


COMMANDS: dict[str, Callable[[Namespace], int]] = {
    "build": build,
    "boot": boot,
    "test": test,
    "profiles": list_profiles,
    "answers": answers,
}


def _formats(text: str, profile: HardwareProfile) -> tuple[Format, ...]:
    """The formats that were asked for beside the usual ones. Raises `Refused` with every problem."""
    words = [word for word in text.replace(",", " ").split() if word]
    known = [one.value for one in Format]
    found = [Problem("--formats", word, "is no format", nearest(word, known)) for word in words if word not in known]
    formats = tuple(one for one in Format if one.value in words)
    found += virtual.problems(profile, formats)
    if found:
        raise Refused(found)
    return formats


def _as_root(what: str) -> None:
    if os.geteuid() != 0:
        raise refuse(f"{what} needs root", "start it again with sudo")


def _newest_tools() -> Path:
    folder = Store(default_cache()).newest("tools")
    if folder is None:
        raise refuse("there is no tools tree yet", "a build makes it: ./build.py build")
    return folder / "root"


def _disk(arguments: Namespace, tools: Tools, image: Path, profile: HardwareProfile, work: Path) -> ImageFile:
    """The twin's disk: a fresh one that goes afterwards, or a file that is kept and stands alone."""
    if arguments.disk is None:
        return emulate.disk(tools, image, profile, work / "disk.qcow2", arguments.disk_size)
    if not arguments.disk.exists():
        emulate.disk(tools, image, profile, work / "fresh.qcow2", arguments.disk_size)
        partial = arguments.disk.with_name(f".{arguments.disk.name}.partial")
        tools.run("qemu-img", "convert", "-O", "qcow2", work / "fresh.qcow2", partial)
        partial.rename(arguments.disk)
    return ImageFile(arguments.disk, "qcow2")


def _answers(arguments: Namespace, tools: Tools, work: Path) -> tuple[Drive, ...]:
    if arguments.answers is None:
        return ()
    volume = emulate.answers_volume(tools, work / "answers.img", arguments.answers, arguments.secrets)
    return (Drive(volume, DriveBus.USB),)


def _port1(arguments: Namespace, profile: HardwareProfile) -> UserNet:
    """The network behind port1: the factory's, or what the answer file gives port1, so that forwards lead there.

    Raises `Refused` with every problem of what was typed, those of the answer file and the secrets file included.
    """
    problems: list[Problem] = []
    net = FACTORY_NET
    answers = read(arguments.answers, Settings, problems)
    secrets = None if sealed(arguments.secrets) else read_secrets(arguments.secrets, None, problems)
    if answers:
        problems += settings_problems(answers, profile, str(arguments.answers), secrets)
        plan = answers.network.plan("port1")
        own = next((IPv4Interface(str(at)) for at in plan.addresses if at.version == 4), None)
        host = next((at for at in own.network.hosts() if at != own.ip), None) if own else None
        if own and host:
            net = UserNet(IPv4Interface(f"{host}/{own.network.prefixlen}"), own.ip)
    if arguments.secrets and not arguments.answers:
        problems.append(Problem("--secrets", "", "goes with an answer file", "name it with --answers FILE"))
    if arguments.disk and not arguments.disk.parent.is_dir():
        problems.append(Problem("--disk", "", f"there is no folder {arguments.disk.parent}"))
    if arguments.disk_size is not None and arguments.disk_size < _LEAST_DISK_GIB:
        problems.append(
            Problem("--disk-size", "", f"{arguments.disk_size} GiB hold no box", f"{_LEAST_DISK_GIB} or more")
        )
    forwards = []
    for text in arguments.forward:
        ports = text.split(":")
        if len(ports) == 2 and all(port.isdecimal() and 0 < int(port) < 65536 for port in ports):
            forwards.append(Forward(int(ports[0]), int(ports[1])))
        else:
            problems.append(Problem("--forward", "", f"{text!r} is not HOST:GUEST", "two TCP ports, such as 2525:25"))
    if problems:
        raise Refused(problems)
    return replace(net, forwards=tuple(forwards))


def _table(rows: list[dict[str, object]]) -> None:
    """Columns as wide as their longest entry."""
    lines = [[str(name) for name in rows[0]], *([str(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())
