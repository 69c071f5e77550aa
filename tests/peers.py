"""The other side of the tests: real programs of Debian 13 (mail clients, scanners, a browser), the same on every host.

They live in trees of their own in the cache, and run through chroot in a mount namespace that ends with them. In there
the host's file system is at `/host`, and `/tmp` is empty.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from hardware.host import run
from hardware.host.files import digest_of
from images import tools
from images.archive import Archive, keyring_options
from images.store import Store

# Those that every Debian has are named too, if their like are needed: nobody depends on them.
PACKAGES = (
    "7zip",  # archives with a password
    "bash",
    "bmap-tools",  # bmaptool
    "coreutils",
    "curl",
    "dash",
    "dnsmasq-base",
    "dovecot-imapd",  # a protected domain's server, which knows its users' passwords
    "dovecot-pop3d",
    "findutils",
    "gawk",
    "getmail6",
    "grep",
    "hostname",
    "isync",  # mbsync
    "libc-bin",
    "libnet-ssleay-perl",  # for swaks --tls
    "lynis",
    "mpack",  # munpack: takes the attachments out of a message, as ripmime and uudeview do
    "nbdkit",
    "nbdkit-plugin-python",
    "nmap",
    "openssh-client",
    "openssl",
    "pebble",  # an authority that speaks ACME
    "postfix",  # for smtp-source
    "python3",
    "python3-dkim",
    "qpdf",  # PDF files with a password
    "ripmime",
    "rsyslog",  # a log server
    "rsyslog-openssl",
    "sed",
    "sieve-connect",
    "socat",  # for testssl
    "swaks",
    "testssl.sh",
    "uudeview",
    "zstd",  # for bmaptool
)
# What Debian itself makes of the same services, in its default set-up: a system that boots, not only programs to run.
DEBIAN = (
    "amavisd-new",
    "clamav-daemon",
    "dbus",
    "haproxy",
    "iproute2",
    "postfix",
    "spamassassin",
    "systemd-sysv",
)
# What reads virtual machines' descriptions: libvirt's schemas, and virt-install with libvirt's test driver behind it.
# xorriso makes the CD on which a hypervisor brings settings.
LIBVIRT = ("coreutils", "dash", "libvirt-clients", "libvirt-common", "libxml2-utils", "virtinst", "xorriso")
BROWSER = ("chromium", "coreutils", "dash", "fonts-dejavu-core")
HOST = Path("/host")

# What configuring a package would have linked, and whose program asks for it: nmap, testssl.
_ALTERNATIVES = {"usr/lib/x86_64-linux-gnu/libblas.so.3": "blas/libblas.so.3", "usr/bin/awk": "gawk"}
_ACCOUNTS = """root:x:0:0:root:/root:/bin/sh
postfix:x:101:102::/:/bin/false
nobody:x:65534:65534:nobody:/:/bin/false
"""
_GROUPS = """root:x:0:
postfix:x:102:
postdrop:x:103:
nogroup:x:65534:
"""

# $1 is the tree, the rest the command. The mounts are seen by nobody else, and go with the last of its processes.
_ENTER = """
mount --rbind /dev "$1/dev" && mount -t proc proc "$1/proc" && mount --rbind / "$1/host" || exit 125
mount -t tmpfs tmp "$1/tmp" || exit 125
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
    return _tree("peers", PACKAGES, store, archive)


def browser_tree(store: Store, archive: Archive) -> Peers:
    """Chromium for this state of the archive (half a minute when it is not cached)."""
    return _tree("browser", BROWSER, store, archive)


def libvirt_tree(store: Store, archive: Archive) -> Peers:
    """libvirt's own tools for this state of the archive (ten seconds when they are not cached)."""
    return _tree("libvirt", LIBVIRT, store, archive)


def debian_tree(store: Store, archive: Archive) -> Path:
    """A whole Debian with `DEBIAN` configured as its packages do it (a minute when it is not cached)."""
    digest = digest_of("debian 1", archive.suite, archive.state, *DEBIAN)
    folder = store.made("debian", digest, lambda partial: bootstrap(DEBIAN, archive, partial / "root"))
    store.trim("debian", 2)
    return folder / "root"


def bootstrap(packages: tuple[str, ...], archive: Archive, root: Path) -> None:
    """Make a whole Debian: the smallest there is with these packages, each configured as it does that itself."""
    command = ["setpriv", "--pdeathsig", "KILL", "mmdebstrap", "--quiet", "--mode=root", "--variant=minbase"]
    command += ["--architectures=amd64", f"--include={','.join(packages)}", *keyring_options()]
    run.run([*command, archive.suite, root, *archive.sources], timeout=1800)


def _tree(kind: str, packages: tuple[str, ...], store: Store, archive: Archive) -> Peers:
    digest = digest_of("peers 8", archive.suite, archive.state, *packages)
    folder = store.made(kind, digest, lambda partial: _make(partial / "root", packages, archive))
    store.trim(kind, 2)
    return Peers(folder / "root")


def inside(path: Path) -> Path:
    """A path of the host as programs of the tree see it."""
    return HOST / path.absolute().relative_to("/")


def _make(root: Path, packages: tuple[str, ...], archive: Archive) -> None:
    tools.extract(packages, archive, root)
    # Nothing was configured: what configuring would have made, and what a program looks up about itself.
    for folder in ("dev", "proc", "host", "root", "tmp"):
        (root / folder).mkdir(exist_ok=True)
    for folder in ("bin", "lib", "lib64", "sbin"):
        if not (root / folder).exists():
            (root / folder).symlink_to(f"usr/{folder}")
    if not (root / "usr/bin/sh").exists():
        (root / "usr/bin/sh").symlink_to("dash")
    for link, target in _ALTERNATIVES.items():
        if (root / link).parent.joinpath(target).exists():
            (root / link).symlink_to(target)
    etc = root / "etc"
    (etc / "passwd").write_text(_ACCOUNTS)
    (etc / "group").write_text(_GROUPS)
    (etc / "hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
    (etc / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files\n")
    bundle = etc / "ssl/certs/ca-certificates.crt"  # virt-install's libraries ask for it when they are loaded
    if bundle.parent.is_dir():
        bundle.write_bytes(b"".join(path.read_bytes() for path in root.glob("usr/share/ca-certificates/mozilla/*.crt")))
    shutil.rmtree(root / "var/cache", ignore_errors=True)
