#!/usr/bin/env python3
"""Build, boot and test the firmware of the Postern mail appliance.

Standard library only until it has prepared its own environment: the Debian packages and the Python packages it needs.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

OLDEST_PYTHON = (3, 11)
if sys.version_info < OLDEST_PYTHON:  # before our own modules, which an older one cannot read
    print("build.py: Python 3.11 or newer is needed (Debian 12 and 13 have it as python3)", file=sys.stderr)
    sys.exit(2)

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.dont_write_bytecode = True

from hardware.host import run  # noqa: E402 - our own packages are found from here on
from hardware.host.errors import Refused, refuse  # noqa: E402
from hardware.host.files import default_cache, digest_of, locked  # noqa: E402

LOCK = HERE / "requirements.lock"
# What a command needs of Debian, beyond a minimal system.
_ASSEMBLE = ["debian-archive-keyring", "mmdebstrap", "python3-venv", "sudo"]
PACKAGES = {
    "build": _ASSEMBLE,
    "boot": [*_ASSEMBLE, "age"],
    "medium": _ASSEMBLE,
    "test": [*_ASSEMBLE, "age", "curl", "dialog", "git", "iproute2", "openssl", "systemd-container", "zstd"],
    "profiles": ["python3-venv"],
    "answers": ["age", "python3-venv"],
    "flash": ["python3-venv", "openssl", "zstd"],
    "receipt": ["python3-venv", "openssl"],
}


class _Command(argparse.ArgumentParser):
    """Takes TARGET behind options too; Python 3.11's argparse counts it as left out once IMAGE is there."""

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]  # as it is there
        found, rest = super().parse_known_args(args, namespace)
        if getattr(found, "target", "") is None and rest and not rest[0].startswith("-"):
            found.target = Path(rest.pop(0))
        return found, rest


def parser() -> argparse.ArgumentParser:
    """Every command with its options."""
    top = argparse.ArgumentParser(
        prog="build.py", description=(__doc__ or "").split("\n")[0], epilog="./build.py COMMAND --help says more."
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Command)

    def command(name: str, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text[:1].upper() + text[1:] + ".")
        made.add_argument("--yes", action="store_true", help="install what is needed without asking (as CI=true does)")
        return made

    def archive(made: argparse.ArgumentParser) -> None:
        made.add_argument("--mirror", default="", metavar="URL", help="Debian archive instead of this host's own")
        made.add_argument("--security-mirror", default="", metavar="URL", help="the same for security updates")

    build = command("build", "build the image for a hardware profile")
    build.add_argument("profile", nargs="?", default="vm-uefi", help="hardware profile (default: %(default)s)")
    build.add_argument("--out", type=Path, default=HERE / "out", help="folder for the image (default: out)")
    build.add_argument("--release", action="store_true", help="compress well; takes a minute or two more")
    formats = "what else to make of it: vmdk, ova, vhdx, vhd, libvirt (comma-separated)"
    build.add_argument("--formats", default="", metavar="LIST", help=formats)
    build.add_argument("--offline", action="store_true", help="ask no mirror; use the cached root file system")
    build.add_argument("--json", action="store_true", help="print the manifest as JSON")
    archive(build)

    boot = command("boot", "boot an image on its profile's virtual twin; this terminal is its serial console")
    boot.add_argument("profile", nargs="?", default="vm-uefi", help="hardware profile (default: %(default)s)")
    boot.add_argument("--out", type=Path, default=HERE / "out", help="where images are (default: out)")
    boot.add_argument(
        "--forward",
        action="append",
        default=[],
        metavar="HOST:GUEST",
        help="lead a port of 127.0.0.1 to a port of the box; may be given several times",
    )
    boot.add_argument("--answers", type=Path, metavar="FILE", help="answer file, on a volume labelled POSTERN")
    boot.add_argument("--secrets", type=Path, metavar="FILE", help="the secrets file that goes with it")
    boot.add_argument("--disk", type=Path, metavar="FILE", help="keep the twin's disk in this qcow2 file")
    boot.add_argument("--disk-size", type=int, metavar="GIB", help="size of the disk (default: the profile's)")
    boot.add_argument("--headless", action="store_true", help="no console: its output goes into out/PROFILE.log")

    medium = command("medium", "make an installation medium of an image: for sticks and CDs, BIOS and UEFI")
    medium.add_argument("profile", nargs="?", default="vm-uefi", help="hardware profile (default: %(default)s)")
    medium.add_argument("--out", type=Path, default=HERE / "out", help="where images are (default: out)")
    medium.add_argument("--answers", type=Path, metavar="FILE", help="answer file, which the installed box takes")
    medium.add_argument("--secrets", type=Path, metavar="FILE", help="the secrets file that goes with it")
    install = "install.yaml: install unattended, on the disk that it describes"
    medium.add_argument("--install", type=Path, metavar="FILE", help=install)
    medium.add_argument("--network", action="store_true", help="a folder for TFTP and HTTP boot instead of an image")
    ca = "with --network: certificates (PEM) of the authorities that the HTTPS server of the image may be of"
    medium.add_argument("--ca", type=Path, metavar="FILE", help=ca)
    medium.add_argument("--json", action="store_true", help="print JSON")
    archive(medium)

    test = command("test", "run every test there is, or some lanes")
    test.add_argument("lanes", nargs="*", help="unit, golden, container, machine (default: these), bench")
    test.add_argument("-k", dest="only", default="", metavar="WORDS", help="only tests whose names match (pytest -k)")
    archive(test)

    profiles = command("profiles", "list and show hardware profiles")
    profiles.add_argument("action", nargs="?", choices=["list", "show", "schema"], default="list")
    profiles.add_argument("profile", nargs="?", default="vm-uefi", help="the one to show (default: %(default)s)")
    profiles.add_argument("--json", action="store_true", help="print JSON")

    answers = command("answers", "check an answer file as a box would, or print the schema of such files")
    answers.add_argument("action", choices=["check", "schema"])
    answers.add_argument("file", nargs="?", type=Path, metavar="FILE", help="the answer file")
    answers.add_argument("--secrets", type=Path, metavar="FILE", help="the secrets file that goes with it")
    answers.add_argument(
        "--identity", type=Path, metavar="FILE", help="the key of age or SSH that opens the secrets file"
    )
    answers.add_argument("--profile", default="vm-uefi", help="the box's hardware profile (default: %(default)s)")
    answers.add_argument("--json", action="store_true", help="print the problems as JSON")

    flash = command("flash", "write an image to a disk or a file and read it back; without TARGET, list the disks")
    flash.add_argument("image", type=Path, metavar="IMAGE", help="folder of the image, such as out/fortimail-100")
    flash.add_argument(
        "target", type=Path, nargs="?", metavar="TARGET", help="a whole disk, such as /dev/sdb, or a file"
    )
    flash.add_argument(
        "--ssh", metavar="USER@HOST[:PORT]", help="the disk is in that machine, which runs any Linux with Python 3.9"
    )
    flash.add_argument("--fingerprint", default="", metavar="SHA256:…", help="its host key, instead of known_hosts")
    flash.add_argument("--identity", type=Path, metavar="FILE", help="the key to log in with (default: agent, ~/.ssh)")
    flash.add_argument("--serial", help="with --yes: the disk's serial number; what has none goes by its name")
    data = flash.add_mutually_exclusive_group()
    kept = "write the firmware anew, and keep settings, mail and keys of the installation that is on the disk"
    data.add_argument("--keep-data", action="store_true", help=kept)
    lost = "with --yes: they may be lost"
    data.add_argument("--overwrite-data", action="store_true", help=lost)
    flash.add_argument("--receipt", type=Path, metavar="FILE", help="where the signed receipt goes (default: here)")
    flash.add_argument("--json", action="store_true", help="print JSON")

    receipt = command("receipt", "say what a receipt of flash says, if nobody changed it")
    receipt.add_argument("file", type=Path, metavar="FILE")
    receipt.add_argument("--key", default="", help="the public key that signed it (default: this machine's)")

    clean = command("clean", "remove images, and with --cache all that builds keep")
    clean.add_argument("--out", type=Path, default=HERE / "out", help="where images are (default: out)")
    clean.add_argument("--cache", action="store_true", help="remove the caches too")
    return top


def prepare(arguments: argparse.Namespace) -> Path:
    """Have the Debian packages and the virtual environment; the environment's Python."""
    _debian_packages(PACKAGES[arguments.command], arguments.yes or os.environ.get("CI") == "true")
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    folder = default_cache() / f"venv-{digest_of(LOCK.read_bytes(), version, sys.base_prefix)[:20]}"
    python = folder / "bin/python"
    complete = folder / "complete"
    if not complete.exists():
        with locked(default_cache() / ".venv.lock"):
            if not complete.exists():
                _say(f"Preparing Python packages in {folder} …")
                shutil.rmtree(folder, ignore_errors=True)
                run.run([Path(sys.base_prefix) / "bin" / f"python{version}", "-m", "venv", folder])
                install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
                install += ["--require-hashes", "--only-binary", ":all:", "--requirement", str(LOCK)]
                run.run(install, env=dict(os.environ), timeout=1800)
                complete.touch()
    return python


def _debian_packages(packages: list[str], agreed: bool) -> None:
    stamp = default_cache() / ".debian-packages"
    status = Path("/var/lib/dpkg/status")
    if not status.is_file():
        raise refuse("this is not a Debian system", "Postern is built on Debian 12 or 13")
    known = stamp.read_text().split() if stamp.is_file() else []
    if set(packages) <= set(known) and stamp.stat().st_mtime > status.stat().st_mtime:
        return
    listed = run.run(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package}\n", *packages], check=False).stdout
    missing = [name for name in packages if f"installed {name}" not in listed.splitlines()]
    if missing:
        _say(f"Needed Debian packages: {' '.join(missing)}")
        line = f"apt-get update && apt-get install --no-install-recommends {' '.join(missing)}"
        if os.geteuid() != 0:
            raise refuse("they are installed by root", f"run this, then start again: sudo sh -c '{line}'")
        if not agreed:
            if not sys.stdin.isatty():
                raise refuse("nobody is here to agree to installing them", "add --yes, or set CI=true")
            if input("Install them with apt-get? [Y/n] ").strip().lower() not in ("", "y", "yes"):
                raise refuse("not without these packages", line)
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        run.run(["apt-get", "-qq", "update"], env=quiet)
        run.run(["apt-get", "-qq", "-y", "install", "--no-install-recommends", *missing], env=quiet, timeout=1800)
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text("\n".join(sorted({*known, *packages})) + "\n")


def hand_over(arguments: argparse.Namespace) -> int:
    """Run the command: inside the environment, except for the one that may remove it."""
    if arguments.command == "clean":
        from images.clean import clean

        return clean(arguments)
    if arguments.command in ("flash", "receipt"):
        from installer.flash.commands import COMMANDS
    elif arguments.command == "medium":
        from installer.medium.commands import COMMANDS
    else:
        from images.commands import COMMANDS
    return COMMANDS[arguments.command](arguments)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Exit status: 0 done, 1 a failure of ours or of a program, 2 the caller can mend it, 130 interrupted."""
    arguments = parser().parse_args()
    try:
        if arguments.command == "clean" or os.environ.get("POSTERN_ENVIRONMENT") == sys.prefix:
            return hand_over(arguments)
        python = prepare(arguments)
        os.environ["POSTERN_ENVIRONMENT"] = str(python.parent.parent)
        os.execv(python, [str(python), str(HERE / "build.py"), *sys.argv[1:]])
    except Refused as refused:
        for problem in refused.problems:
            _say(f"build.py: {problem}")
        return 2
    except run.Failed as failed:
        _say(f"build.py: {failed}")
        return 1
    except KeyboardInterrupt:
        left = "" if arguments.command == "flash" else "; nothing half made is left under a final name"
        _say(f"\nbuild.py: interrupted{left}")
        return 130


if __name__ == "__main__":
    sys.exit(main())
