"""A box in a container: the real root file system, booted by systemd-nspawn at native speed.

What the real box gets from its initrd and its kernel is stood in for here, each with its reason:

- The root is the builder's tree, read-only as the verified squashfs is.
- /etc is an overlay whose upper layer is lost at each start, as the initrd lays it.
- /var is a folder in memory that outlives a restart, as the data partition does, with the same mount options. In
  memory, for a container proves nothing about disks; the machine lane does.
- The machine id is kept on /var and handed over, as the initrd does.
- `postern.profile` comes as a credential: a container has no kernel command line of its own.
- port1, port2 ... are veth pairs: names by hardware are the machine lane's business.
- What Rspamd compiles at its first start (ten seconds of a processor) is handed to the boxes after it.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from hardware.host import run
from hardware.host.files import default_cache
from hardware.host.run import Completed
from images.store import Store
from tests.container.network import Segment, abandoned

PROFILE = "vm-uefi"
PATIENCE = 60.0
_MEMORY = Path("/dev/shm")
_STORE = Store(default_cache())
_COMPILED = "lib/rspamd"  # in /var; each file has the name of what it was made of, and Rspamd makes what is missing

# systemd in the container wants the unified control groups, which some hosts lack: the mount namespace gets them.
# Each box has a group of its own there, or two of them would share one. $1 names it, $2 is /var, the rest the command.
_UNIFY = """
set -e
if [ "$(stat -f -c %T /sys/fs/cgroup)" != cgroup2fs ]; then
    umount -l /sys/fs/cgroup/* /sys/fs/cgroup 2>/dev/null || true
    mount -t cgroup2 none /sys/fs/cgroup
fi
"""
_LAUNCH = f"""{_UNIFY}
mkdir -p "/sys/fs/cgroup/$1"
echo $$ >"/sys/fs/cgroup/$1/cgroup.procs"
mount --rbind "$2" "$2"
mount -o remount,bind,nosuid,nodev,noexec "$2"
shift 2
exec "$@"
"""
_FORGET = f"""{_UNIFY}
[ ! -d "/sys/fs/cgroup/$1" ] || find "/sys/fs/cgroup/$1" -depth -type d -exec rmdir {{}} +
"""
_PRIVATE = ["unshare", "--mount", "--propagation", "private", "sh", "-c"]


class Box:
    """One box and its data partition, on or off. `segments` are what its ports are plugged into, in their order."""

    def __init__(self, tree: Path, segments: Sequence[Segment], folder: Path) -> None:
        self.tree = tree
        self.segments = segments
        self.folder = folder
        self.name = f"postern-{segments[0].cable}"
        self.var = folder / "var"
        self.console = folder / "console.log"
        self.leader = 0  # the process that is number 1 inside
        self._running = ExitStack()
        (self.var / "lib/postern").mkdir(parents=True)
        self._machine_id = uuid.uuid4().hex

    def start(self, credentials: Mapping[str, str] | None = None, stage: str = "in-service") -> None:
        """Switch on, and wait until the box says how far it has come."""
        (self.var / "lib/postern/machine-id").write_text(f"{self._machine_id}\n")
        argv = self._nspawn(credentials or {})
        self._running = ExitStack()
        nspawn = self._running.enter_context(run.spawn(argv, log=self.console, env=_NSPAWN, grace=30))
        until(lambda: self._find_leader(nspawn.pid), "the first process of the box")
        for segment in self.segments:
            until(segment.plug, f"the cable {segment.cable}")
        until(lambda: self.stage == stage, f"stage {stage}", lambda: f"{self.stage}: {self.tail()}")

    def stop(self) -> None:
        """Switch off: the container manager asks the box to shut down. Nothing of it runs afterwards."""
        self._running.close()
        self.leader = 0

    def run(self, *argv: str | Path, stdin: str | None = None, check: bool = True, timeout: float = 120) -> Completed:
        """Run a program in the box, as root."""
        return run.run(self.command(*argv), stdin=stdin, check=check, timeout=timeout)

    def command(self, *argv: str | Path) -> list[str | Path]:
        """The argument list that runs a program in the box."""
        enter = ["nsenter", "--target", str(self.leader), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
        return [*enter, "--", *argv]

    def path(self, inside: str) -> Path:
        """A file of the running box, from outside."""
        return Path(f"/proc/{self.leader}/root", inside.lstrip("/"))

    @property
    def stage(self) -> str:
        try:
            return self.path("run/postern/stage").read_text().strip()
        except OSError:
            return ""

    def journal(self, *words: str) -> str:
        """What journalctl says."""
        return self.run("journalctl", "--no-pager", "--output=short-precise", *words).stdout

    def lines_with(self, unit: str, pattern: str) -> str:
        """What a unit has said that matches; it may be nothing, which to journalctl is status 1."""
        words = ("--no-pager", "--output=short-precise", "-u", unit, f"--grep={pattern}")
        done = self.run("journalctl", *words, check=False)
        assert done.status == 0 or (done.status, done.stderr) == (1, ""), done.stderr
        return done.stdout

    def tail(self) -> str:
        """The last that the box had to say."""
        return self.journal("--lines=30") if self.leader else self.console.read_text(errors="replace")[-2000:]

    @property
    def held_mib(self) -> float:
        """What its processes hold in memory, a shared page counted once."""
        namespace = Path(f"/proc/{self.leader}/ns/pid").readlink()
        held = 0
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended meanwhile
                if (process / "ns/pid").readlink() == namespace:
                    (share,) = re.findall(r"^Pss: +(\d+) kB", (process / "smaps_rollup").read_text(), re.MULTILINE)
                    held += int(share)
        return held / 1024

    def require_well(self, *hidden: str) -> None:
        """What the box says of itself at the end: no unit failed, and no log holds a password (`hidden`)."""
        failed = self.run("systemctl", "list-units", "--failed", "--plain", "--no-legend").stdout
        assert failed == "", f"{failed}\n{self.tail()}"
        said = self.journal() + self.console.read_text(errors="replace")
        # networkd has no parser to ask beforehand; what it does not know it says here and leaves out.
        assert not re.findall(r".*Unknown (?:key|section|lvalue).*", said)
        assert not [word for word in hidden if word in said], "a log holds a password"

    def _nspawn(self, credentials: Mapping[str, str]) -> list[str | Path]:
        made = {"postern.profile": PROFILE} | dict(credentials)
        options = ["--quiet", f"--machine={self.name}", f"--uuid={self._machine_id}", "--boot", "--console=read-only"]
        options += ["--register=no", "--keep-unit", "--private-network", "--resolv-conf=off", "--timezone=off"]
        options += [f"--directory={self.tree}", "--read-only", "--overlay=+/etc::/etc", f"--bind={self.var}:/var"]
        for number, segment in enumerate(self.segments, 1):
            options.append(f"--network-veth-extra={segment.cable}:port{number}")
        for name, text in made.items():
            file = self.folder / name
            file.touch(mode=0o600)
            file.write_text(text)
            options.append(f"--load-credential={name}:{file}")
        return [
            "setpriv",
            "--pdeathsig",
            "TERM",
            *_PRIVATE,
            _LAUNCH,
            "sh",
            self.name,
            self.var,
            "systemd-nspawn",
            *options,
        ]

    def _find_leader(self, nspawn: int) -> bool:
        if not Path(f"/proc/{nspawn}").exists():
            raise AssertionError(f"the container did not start: {self.console.read_text(errors='replace')[-2000:]}")
        for child in Path(f"/proc/{nspawn}/task/{nspawn}/children").read_text().split():
            with suppress(OSError):  # one that only helped to start it has ended meanwhile
                numbers = re.findall(r"^NSpid:.*\s(\d+)$", Path(f"/proc/{child}/status").read_text(), re.MULTILINE)
                if numbers == ["1"]:
                    self.leader = int(child)
                    return True
        return False


# No lock file beside the tree: it is read-only, and several boxes may run from it. The tree's systemd may be newer.
_NSPAWN = {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1", "SYSTEMD_NSPAWN_LOCK": "0"}


NO_SPACES: Mapping[str, int] = {}


@contextmanager
def box(
    tree: Path,
    segments: Sequence[Segment],
    disk_mib: int = 0,
    spaces: Mapping[str, int] = NO_SPACES,
    kind: type[Box] = Box,
) -> Iterator[Box]:
    """A box that is off; switched off and forgotten at the end. With `disk_mib` its /var has that size, and of it each
    of `spaces` so much [MiB], a file system of its own: many a host's kernel lacks the quotas of the real ones."""
    place = _MEMORY if os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir())
    for path in place.iterdir():
        if abandoned(path.name):
            run.run(["umount", "--quiet", "--recursive", "--lazy", path / "var"], check=False)
            shutil.rmtree(path, ignore_errors=True)  # another run may be at it too
    folder = Path(tempfile.mkdtemp(prefix=f"postern-{segments[0].cable}-", dir=place))
    if disk_mib:
        (folder / "var").mkdir()
        for space, size in {"": disk_mib, **spaces}.items():
            (folder / "var" / space).mkdir(parents=True, exist_ok=True)
            options = f"size={size}m,mode=0755,nosuid,nodev,noexec"
            run.run(["mount", "-t", "tmpfs", "-o", options, "postern", folder / "var" / space])
    made = kind(tree, segments, folder)
    alike = kind is Box and not disk_mib  # a disk that is small on purpose is not filled by us
    if alike and (compiled := _STORE.newest("hyperscan")):
        run.run(["cp", "-a", f"{compiled}/.", folder / "var/lib"])
    try:
        yield made
    finally:
        made.stop()
        if alike and any((made.var / _COMPILED).glob("*.hsmp")):
            digest = tree.parent.name.rpartition("-")[2]
            _STORE.made("hyperscan", digest, lambda kept: _keep(made.var / _COMPILED, kept))
            _STORE.trim("hyperscan", 1)
        run.run([*_PRIVATE, _FORGET, "sh", made.name])
        if disk_mib:
            run.run(["umount", "--recursive", "--lazy", folder / "var"])
        shutil.rmtree(folder)


def _keep(compiled: Path, folder: Path) -> None:
    """Copy what is compiled, and nothing that Rspamd has learned of mail."""
    run.run(["cp", "-a", compiled, folder])
    for path in (folder / compiled.name).iterdir():
        if not path.suffix.startswith(".hs"):
            path.unlink()


def until(
    true: Callable[[], object], what: str, now: Callable[[], object] = lambda: "", patience: float = PATIENCE
) -> None:
    """Wait for something to become true. When it does not, `now` says what was there instead."""
    deadline = time.monotonic() + patience
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {patience:.0f} s for {what}; there was {now()}")
        time.sleep(0.05)
