"""The other side of the tests: real programs of Debian 13 (mail clients, scanners), the same on every host.

They live in a tree of their own in the cache, and run through chroot in a mount namespace that ends with them. In there
the host's file system is at `/host`.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from hardware.host.files import digest_of
from images import tools
from images.archive import Archive
from images.store import Store

PACKAGES = (
    "7zip",  # archives with a password
    "coreutils",
    "curl",
    "dash",
    "dnsmasq-base",
    "getmail6",
    "isync",  # mbsync
    "libnet-ssleay-perl",  # for swaks --tls
    "mpack",  # munpack: takes the attachments out of a message, as ripmime and uudeview do
    "nbdkit",
    "nbdkit-plugin-python",
    "nmap",
    "openssh-client",
    "openssl",
    "postfix",  # for smtp-source
    "python3-dkim",
    "qpdf",  # PDF files with a password
    "ripmime",
    "sieve-connect",
    "swaks",
    "uudeview",
)
HOST = Path("/host")

# $1 is the tree, the rest the command. The mounts are seen by nobody else, and go with the last of its processes.
_ENTER = """
mount --rbind /dev "$1/dev" && mount -t proc proc "$1/proc" && mount --rbind / "$1/host" || exit 125
root=$1; shift
exec chroot "$root" "$@"
"""


@dataclass(frozen=True)
class Peers:
    """The tree at `root`, and how to run what is in it."""

    root: Path

    def command(self, program: str, *arguments: str | Path, namespace: str = "") -> list[str]:
        """The argument list that runs a program of the tree, in the network namespace of that name if one is given."""
        where = ["ip", "netns", "exec", namespace] if namespace else []
        enter = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _ENTER, "sh"]
        return [str(word) for word in (*where, *enter, self.root, program, *arguments)]


def peers_tree(store: Store, archive: Archive) -> Peers:
    """The peers for this state of the archive (ten seconds when they are not cached)."""
    digest = digest_of("peers 7", archive.suite, archive.state, *PACKAGES)
    folder = store.made("peers", digest, lambda partial: _make(partial / "root", archive))
    store.trim("peers", 8)
    return Peers(folder / "root")


def inside(path: Path) -> Path:
    """A path of the host as programs of the tree see it."""
    return HOST / path.absolute().relative_to("/")


def _make(root: Path, archive: Archive) -> None:
    tools.extract(PACKAGES, archive, root)
    # Nothing was configured: what configuring would have made, and what a program looks up about itself.
    for folder in ("dev", "proc", "host", "root"):
        (root / folder).mkdir(exist_ok=True)
    for folder in ("bin", "lib", "lib64", "sbin"):
        if not (root / folder).exists():
            (root / folder).symlink_to(f"usr/{folder}")
    if not (root / "usr/bin/sh").exists():
        (root / "usr/bin/sh").symlink_to("dash")
    (root / "usr/lib/x86_64-linux-gnu/libblas.so.3").symlink_to("blas/libblas.so.3")  # an alternative; nmap's
    etc = root / "etc"
    (etc / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
    (etc / "group").write_text("root:x:0:\nnogroup:x:65534:\n")
    (etc / "hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
    (etc / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files\n")
    shutil.rmtree(root / "var/cache", ignore_errors=True)
