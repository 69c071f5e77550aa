"""The tools tree: a Debian 13 root with the emulator and the assembly tools, the same on every host.

Its programs run through the tree's own dynamic loader: no mount, no chroot, and host files keep their paths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hardware.host import run
from hardware.host.files import digest_of
from images.archive import Archive, keyring_options
from images.store import Store

PACKAGES = (
    "cpio",
    "cryptsetup-bin",
    "curl",
    "dosfstools",
    "e2fsprogs",
    "fdisk",
    "grub-efi-amd64-bin",
    "grub-pc-bin",
    "grub-common",
    "mtools",
    "ovmf",
    "qemu-system-x86",
    "qemu-utils",
    "squashfs-tools",
    "xorriso",
    "zstd",
)


@dataclass(frozen=True)
class Tools:
    """The tree at `root`, and how to run what is in it."""

    root: Path

    def command(self, program: str, *arguments: str | Path) -> list[str]:
        """The argument list that runs a program of the tree on host files."""
        found = next(path for folder in ("bin", "sbin") if (path := self.root / "usr" / folder / program).exists())
        libraries = self.root / "usr/lib/x86_64-linux-gnu"
        search = f"{libraries}:{libraries}/pulseaudio"
        loader = libraries / "ld-linux-x86-64.so.2"
        return [str(word) for word in (loader, "--library-path", search, found, *arguments)]

    def run(
        self,
        program: str,
        *arguments: str | Path,
        stdin: str | bytes | Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = 600,
    ) -> str:
        """Run a program of the tree; what it printed."""
        return run.run(self.command(program, *arguments), stdin=stdin, env=env, timeout=timeout).stdout

    def squashfs(self, source: Path, target: Path, *options: str) -> None:
        """A squashfs that depends on the files alone: no times, no extended attributes, one order."""
        times = ("-mkfs-time", "0", "-all-time", "0", "-root-time", "0")
        root = ("-root-mode", "0755", "-root-uid", "0", "-root-gid", "0")
        fixed = ("-no-xattrs", "-noappend", "-no-progress", "-quiet", *times, *root)
        # The list of what to leave out, if any, comes last.
        self.run("mksquashfs", source, target, *fixed, *options, timeout=1800)

    def path(self, inside: str) -> Path:
        """A data file of the tree, such as a firmware image."""
        return self.root / inside


def tools_tree(store: Store, archive: Archive) -> Tools:
    """The tools tree for this state of the archive (ten seconds when it is not cached)."""
    digest = digest_of("tools 1", archive.suite, archive.state, *PACKAGES)
    folder = store.made("tools", digest, lambda partial: _make(partial, archive))
    return Tools(folder / "root")


def extract(packages: Sequence[str], archive: Archive, root: Path) -> None:
    """Unpack Debian packages with what they need into `root`, without configuring any (seconds)."""
    command = ["setpriv", "--pdeathsig", "KILL", "mmdebstrap", "--quiet", "--mode=root", "--variant=extract"]
    command += ["--architectures=amd64", f"--include={','.join(packages)}", *keyring_options()]
    command += [f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in ("doc", "man", "locale")]
    run.run([*command, archive.suite, root, *archive.sources], timeout=900)


def _make(partial: Path, archive: Archive) -> None:
    extract(PACKAGES, archive, partial / "root")
