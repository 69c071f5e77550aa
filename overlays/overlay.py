"""What each concern says about its files, in its overlay.yaml: owners and modes, services, checks."""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from hardware.host import documents
from hardware.host.documents import Frozen
from hardware.parts import OperationMode
from overlays.values import Line

FOLDER = Path(__file__).parent


class OnChange(StrEnum):
    """How a running service takes up changed files."""

    RELOAD = "reload"
    RESTART = "restart"


class FileRule(Frozen):
    """Owner and mode of a file, where they are not root's 0644 (0755 for what is executable in the tree)."""

    mode: Annotated[str, Field(pattern=r"^0[0-7]{3}$")] | None = None
    owner: Line = "root"
    group: Line = "root"


class Probe(Frozen):
    """How a service shows that it is well: what it says first to whoever connects to 127.0.0.1, or to a socket."""

    tcp: Annotated[int, Field(ge=1, le=65535)] | None = None
    unix: Line | None = None
    banner: Line = ""  # some say nothing before they are asked

    @model_validator(mode="after")
    def _one_place(self) -> Probe:
        if (self.tcp is None) == (self.unix is None):
            raise ValueError("either tcp or unix is right, not both and not none")
        return self

    @property
    def where(self) -> str:
        """The place, as problems name it."""
        return f"port {self.tcp}" if self.tcp else str(self.unix)


class Service(Frozen):
    """A unit that the concern runs once settings are applied.

    `reads` are the beginnings of the paths (without the leading slash) whose change it must take up, whichever concern
    they come from. `allowed` names a service of the ports: where no port lets it in, the unit does not run; `when` is
    a property of the settings, and where that is false, it does not either.
    """

    unit: Line
    on_change: OnChange
    reads: tuple[Line, ...]
    allowed: Line | None = None
    when: Line | None = None
    probe: Probe | None = None


class Check(Frozen):
    """A daemon's own parser over rendered files; `{root}` in an argument is where they lie.

    Exit status 0 is right. With `silent` a word on stderr is wrong too: Postfix only warns of a misspelt parameter.
    """

    argv: tuple[Line, ...]
    silent: bool = False

    def command(self, root: Path) -> list[str]:
        prefix = "" if str(root) == "/" else str(root)
        return [word.replace("{root}", prefix) for word in self.argv]


class Overlay(Frozen):
    """One concern's overlay.yaml."""

    format: Literal[1]
    modes: tuple[OperationMode, ...] = tuple(OperationMode)
    order: int = Field(50, description="services of a lower number start and change first")
    factory: tuple[Line, ...] = Field((), description="the beginnings of the paths that are rendered before set-up too")
    files: dict[Line, FileRule] = Field({}, description="what is special about which file")
    links: dict[Line, Line] = Field({}, description="symbolic links and their targets, which may be templates")
    services: tuple[Service, ...] = ()
    checks: tuple[Check, ...] = ()


@cache
def overlays() -> dict[str, Overlay]:
    """Every concern's overlay by name, in the order of their services."""
    found = {path.parent.name: documents.read(path, Overlay) for path in sorted(FOLDER.glob("*/overlay.yaml"))}
    return dict(sorted(found.items(), key=lambda item: item[1].order))
