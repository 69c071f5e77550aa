"""The overlays' files keep the house rules: they name their source, they write and do not decide, they parse."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from overlays.overlay import FOLDER, overlays

FILES = sorted(path for path in FOLDER.glob("*/rootfs/**/*") if path.is_file() and not path.is_symlink())
TEMPLATES = [path for path in FILES if path.suffix == ".j2"]
LONGEST = 150  # lines
_TAG = re.compile(r"{%-?\s*(\w+)")


def name(path: Path) -> str:
    return path.relative_to(FOLDER.parent).as_posix()


@pytest.mark.parametrize("path", TEMPLATES, ids=name)
def test_the_first_line_names_the_source(path: Path) -> None:
    assert name(path) in path.read_text(encoding="utf-8").splitlines()[0]


@pytest.mark.parametrize("path", TEMPLATES, ids=name)
def test_templates_write_and_do_not_decide(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= LONGEST
    assert text.endswith("\n")
    depth: list[str] = []
    for tag in _TAG.findall(text):
        if tag.startswith("end"):
            depth.pop()
        elif tag in ("for", "if"):
            depth.append(tag)
            assert depth in (["for"], ["if"], ["for", "if"]), f"{depth} is cleverer than a template may be"
        else:
            assert tag in ("else",), f"{tag} does not belong into a template"
    assert depth == []


@pytest.mark.parametrize("path", TEMPLATES, ids=name)
def test_what_is_not_printed_leaves_no_space(path: Path) -> None:
    """Postfix reads a line that starts with a blank as part of the one before: tags stand at the margin."""
    for line in path.read_text(encoding="utf-8").splitlines():
        assert not re.match(r"\s+{%", line), line


def test_every_concern_has_the_same_parts() -> None:
    for concern in overlays():
        folder = FOLDER / concern
        assert (folder / "rootfs").is_dir()
        assert concern == "box" or (folder / "settings.py").is_file()
        for path in overlays()[concern].files:
            assert any(name(file).removesuffix(".j2").endswith(f"{concern}/rootfs/{path}") for file in FILES), path
