"""Each example answer file renders to the /etc that stands beside this file, byte for byte, with its modes and links.

After a change that is meant: `POSTERN_GOLDEN=write pytest tests/golden`, then read the difference before committing it.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from hardware import profile
from overlays.problems import check
from overlays.render import RenderedFile, render_boot
from overlays.settings import parse_answers, parse_secrets

GOLDEN = Path(__file__).parent
ANSWERS = GOLDEN.parent / "answers"
EXAMPLES = sorted(path.stem for path in ANSWERS.glob("*.yaml") if "secrets" not in path.stem)
FACTORY = "factory"
PROFILE = "fortimail-100"  # four ports, 1 GiB


def rendered(example: str) -> dict[str, RenderedFile]:
    model = profile.load(PROFILE)
    if example == FACTORY:
        return render_boot(None, None, model)
    source = ANSWERS / f"{example}.yaml"
    settings = parse_answers(source.read_text(encoding="utf-8"), source.name)
    secrets = parse_secrets((ANSWERS / "secrets.yaml").read_text(encoding="utf-8"), "secrets.yaml")
    check(settings, model, source.name, secrets)
    return render_boot(settings, secrets, model)


def modes(files: dict[str, RenderedFile]) -> str:
    """Who may do what, where it is not root's 0644."""
    special = {
        path: f"{file.mode:04o} {file.owner}:{file.group}"
        for path, file in files.items()
        if file.link_target is None and (file.mode, file.owner, file.group) != (0o644, "root", "root")
    }
    return "".join(f"{path} {what}\n" for path, what in special.items())


def write(folder: Path, files: dict[str, RenderedFile]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for path, file in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.link_target is not None:
            target.symlink_to(file.link_target)
        else:
            target.write_text(file.text, encoding="utf-8")
    (folder / "modes").write_text(modes(files), encoding="utf-8")


@pytest.mark.parametrize("example", [*EXAMPLES, FACTORY])
def test_renders_as_recorded(example: str) -> None:
    files, folder = rendered(example), GOLDEN / example
    if os.environ.get("POSTERN_GOLDEN") == "write":
        write(folder, files)
    recorded = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_symlink() or path.is_file()}
    assert recorded - {"modes"} == set(files)
    for path, file in files.items():
        if file.link_target is not None:
            assert str((folder / path).readlink()) == file.link_target
        else:
            assert file.text == (folder / path).read_text(encoding="utf-8"), path
    assert modes(files) == (folder / "modes").read_text(encoding="utf-8")


def test_every_golden_tree_has_its_example() -> None:
    assert {path.name for path in GOLDEN.iterdir() if (path / "etc").is_dir()} == {*EXAMPLES, FACTORY}
