"""Trees and settings in, files out. Pure, and the only user of Jinja2.

A concern's `rootfs/etc` is the boot stage: rendered from settings on the box at each boot and each apply. The rest of
its `rootfs` is the build stage: copied into the image, templates among it rendered from what the build knows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from hardware import sizing
from hardware.profile import HardwareProfile
from overlays.overlay import FOLDER, Check, FileRule, Overlay, Service, overlays
from overlays.settings import Secrets, Settings, factory
from overlays.values import one_line

COMPILED = "compiled"  # a folder beside the concerns, on the box: each template as a program, made with the image
EACH_PORT = "{port}"  # a path with this in it is rendered once for every port of the hardware, VLAN and bond
EACH_LINK = "{link}"  # the same for VLANs and bonds alone


@dataclass(frozen=True)
class RenderedFile:
    """One file as it is to stand on the box. With a `link_target` it is a symbolic link, and the text is empty."""

    text: str
    mode: int = 0o644
    owner: str = "root"
    group: str = "root"
    link_target: str | None = None


def render_boot(
    settings: Settings | None, secrets: Secrets | None, profile: HardwareProfile
) -> dict[str, RenderedFile]:
    """Every file of /etc that follows from the settings, by its path without the leading slash.

    Without settings it is the factory's /etc: what each concern lists under `factory`.
    """
    chosen = settings or factory(profile)
    context = {name: getattr(chosen, name) for name in type(chosen).model_fields} | {
        "settings": chosen,
        "secrets": secrets or Secrets(format=1),
        "profile": profile,
        "sizing": sizing.for_profile(profile),
    }
    plans = (chosen.network.plan(name) for name in (*profile.port_names, *chosen.network.made))
    links = {link.name: link for link in chosen.network.links}
    ports = {plan.name: replace(plan, awake=settings is None) for plan in plans}
    made: dict[str, RenderedFile] = {}
    for name, overlay in overlays().items():
        if chosen.mode not in overlay.modes:
            continue
        for path, file in _sources(name, boot=True):
            if settings is None and not path.startswith(overlay.factory):
                continue
            if EACH_PORT in path:
                for port, plan in ports.items():
                    _add(made, path.replace(EACH_PORT, port), _render(file, context | {"port": plan}, overlay, path))
            elif EACH_LINK in path:
                for each, link in links.items():
                    _add(made, path.replace(EACH_LINK, each), _render(file, context | {"link": link}, overlay, path))
            else:
                _add(made, path, _render(file, context, overlay, path))
        for path, target in overlay.links.items():
            if settings is not None or path.startswith(overlay.factory):
                _add(
                    made,
                    path,
                    RenderedFile("", 0o777, link_target=_environment(FOLDER).from_string(target).render(context)),
                )
    return dict(sorted(made.items()))


def render_build(context: Mapping[str, object]) -> dict[str, RenderedFile]:
    """Every file of ours that is part of the image, whatever the settings; `context` is what its templates may name."""
    made: dict[str, RenderedFile] = {}
    for name, overlay in overlays().items():
        for path, file in _sources(name, boot=False):
            _add(made, path, _render(file, dict(context), overlay, path))
    return dict(sorted(made.items()))


def compile_templates() -> None:
    """Fill `COMPILED`. A start of the box renders everything, and two thirds of that would be this."""
    (FOLDER / COMPILED).mkdir()
    for name in overlays():
        for _, file in _sources(name, boot=True):
            if file.suffix == ".j2":
                _environment(FOLDER).get_template(file.relative_to(FOLDER).as_posix())
    for made in (FOLDER / COMPILED).iterdir():
        made.chmod(0o644)


def services(settings: Settings) -> tuple[Service, ...]:
    """The units that these settings want to run, in the order to start them."""
    return tuple(
        service
        for overlay in overlays().values()
        if settings.mode in overlay.modes
        for service in overlay.services
        if service.allowed is None or settings.network.allowing(service.allowed)
        if service.when is None or getattr(settings, service.when)
    )


def all_units() -> tuple[str, ...]:
    """Every unit that some settings run: what is not among `services` has to stop."""
    return tuple(dict.fromkeys(service.unit for overlay in overlays().values() for service in overlay.services))


def checks(settings: Settings) -> tuple[Check, ...]:
    """The daemons' own parsers that rendered files have to pass."""
    return tuple(check for overlay in overlays().values() if settings.mode in overlay.modes for check in overlay.checks)


def _sources(concern: str, *, boot: bool) -> Iterator[tuple[str, Path]]:
    """The concern's files of one stage: the path on the box, and the file here."""
    rootfs = FOLDER / concern / "rootfs"
    for file in sorted(rootfs.rglob("*")):
        path = file.relative_to(rootfs).as_posix().removesuffix(".j2")
        if (file.is_symlink() or file.is_file()) and path.startswith("etc/") is boot:
            yield path, file


def _render(file: Path, context: dict[str, Any], overlay: Overlay, path: str) -> RenderedFile:
    rule = overlay.files.get(path, FileRule())
    if file.is_symlink():
        return RenderedFile("", 0o777, link_target=str(file.readlink()))
    if file.suffix == ".j2":
        try:
            text = _environment(FOLDER).get_template(file.relative_to(FOLDER).as_posix()).render(context)
        except jinja2.TemplateError as error:
            error.add_note(f"in {file}")
            raise
    else:
        text = file.read_text(encoding="utf-8")
    mode = int(rule.mode, 8) if rule.mode else 0o755 if os.access(file, os.X_OK) else 0o644
    return RenderedFile(text, mode, rule.owner, rule.group)


def _add(made: dict[str, RenderedFile], path: str, file: RenderedFile) -> None:
    if path in made:
        raise ValueError(f"two concerns write {path}")
    made[path] = file


def _one_line(value: object) -> object:
    """What every `{{ }}` passes through: no value can start a line of its own, whatever its type let through."""
    return one_line(str(value))


@cache
def _environment(folder: Path) -> jinja2.Environment:
    compiled = folder / COMPILED
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        bytecode_cache=jinja2.FileSystemBytecodeCache(str(compiled)) if compiled.is_dir() else None,
        undefined=jinja2.StrictUndefined,
        finalize=_one_line,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - configuration files, not HTML; values are checked by their types
    )
