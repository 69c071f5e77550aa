"""Where a box keeps what it decided and what it is doing, under a root that tests may choose."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path

from hardware.host import files


class Stage(Enum):
    """How far a box has come; the console waits for the file that says it."""

    FACTORY = "factory"
    IN_SERVICE = "in-service"
    REFUSED = "refused"


@dataclass(frozen=True)
class Places:
    """The folders of one box. `state` outlives a reboot, `run` does not."""

    root: Path = Path("/")

    @property
    def state(self) -> Path:
        return self.root / "var/lib/postern"

    @property
    def device(self) -> Path:
        return self.state / "device"

    @property
    def age_key(self) -> Path:
        """Opens what was encrypted to this box."""
        return self.device / "age/key"

    @property
    def age_recipient(self) -> Path:
        return self.device / "age/recipient"

    @property
    def acme(self) -> Path:
        return self.root / "var/lib/postern-acme"

    @property
    def grubenv_copy(self) -> Path:
        return self.state / "grubenv.copy"

    @property
    def wizard_draft(self) -> Path:
        """What was typed in a setup that is not finished, without its secrets."""
        return self.state / "wizard-draft"

    @property
    def run(self) -> Path:
        return self.root / "run/postern"

    @property
    def candidate(self) -> Path:
        return self.run / "candidate"

    @property
    def rendered(self) -> Path:
        return self.run / "rendered.json"

    @property
    def refused(self) -> Path:
        return self.run / "refused.txt"

    @property
    def answers_problems(self) -> Path:
        return self.run / "answers-problems.txt"

    @property
    def health_problems(self) -> Path:
        return self.run / "health-problems.txt"

    @property
    def lock(self) -> Path:
        return self.run / "apply.lock"

    @property
    def users_lock(self) -> Path:
        return self.run / "users.lock"

    @property
    def credentials(self) -> Path:
        """System credentials, as systemd's first process got them from the firmware or the container manager."""
        return self.root / "run/credentials/@system"

    @cached_property
    def kernel_words(self) -> dict[str, str]:
        """`postern.*` and `roothash` on the kernel command line; a word without `=` is there with an empty value."""
        try:
            words = (self.root / "proc/cmdline").read_text().split()
        except OSError:
            return {}
        pairs = (word.partition("=")[::2] for word in words)
        return {name: value for name, value in pairs if name.startswith("postern.") or name == "roothash"}

    @cached_property
    def image(self) -> str:
        """What identifies the image that we run from; empty when nothing does (a container made by hand)."""
        return self.kernel_words.get("roothash") or self.release.get("IMAGE_VERSION", "")

    @cached_property
    def release(self) -> dict[str, str]:
        """The keys of os-release."""
        try:
            lines = (self.root / "usr/lib/os-release").read_text().splitlines()
        except OSError:
            return {}
        return {name: value.strip("\"'") for name, equals, value in (line.partition("=") for line in lines) if equals}

    def credential(self, name: str) -> str | None:
        """The text of a system credential, or None."""
        raw = self.raw_credential(name)
        return None if raw is None else raw.decode("utf-8")

    def raw_credential(self, name: str) -> bytes | None:
        path = self.credentials / name
        return path.read_bytes() if path.is_file() else None

    def enter(self, stage: Stage) -> None:
        """Say how far the box has come."""
        files.write(self.run / "stage", f"{stage.value}\n")

    def stage(self) -> Stage | None:
        """How far the box has come; None while it starts."""
        try:
            return Stage((self.run / "stage").read_text().strip())
        except (OSError, ValueError):
            return None


def read_json(path: Path) -> dict[str, object]:
    """A JSON object in a file of ours; empty when it is missing or damaged, for it can be made again."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
