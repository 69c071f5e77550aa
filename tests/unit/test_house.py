"""The house's rules that a program can check: format, types, imports, shell, YAML, templates, spelling, schemas."""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
from importlib import import_module
from pathlib import Path

import pytest

from hardware import profile as profiles
from hardware.host import run
from overlays import settings

TOP = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
FOLDERS = ["hardware", "overlays", "images", "installer", "tests", "build.py"]


def lint(*argv: str | Path, env: dict[str, str] | None = None) -> None:
    done = run.run([BIN / argv[0], *argv[1:]], cwd=TOP, check=False, timeout=300, env=env)
    assert done.status == 0, done.stdout + done.stderr


def tracked(*patterns: str) -> list[str]:
    """The files under version control that match, and those not yet added."""
    found = run.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns], cwd=TOP)
    return [name for name in found.stdout.splitlines() if (TOP / name).is_file()]


def scripts(first_line: bytes) -> list[str]:
    """The files whose first line begins like that, whatever their names."""
    found = []
    for name in tracked():
        with (TOP / name).open("rb") as file:
            if re.match(first_line, file.readline()):
                found.append(name)
    return found


def shell_scripts() -> list[str]:
    return scripts(rb"#!.*(bash|/sh)\b|# shellcheck shell=")  # the last is what others read in


def python_scripts() -> list[str]:
    return [name for name in scripts(rb"#!.*python") if not name.endswith(".py")]


def test_code_is_formatted() -> None:
    lint("ruff", "format", "--check", *FOLDERS, *python_scripts())


def test_code_is_linted() -> None:
    lint("ruff", "check", *FOLDERS, *python_scripts())


def test_types() -> None:
    lint("mypy", *FOLDERS)


def test_import_rules() -> None:
    lint("lint-imports", env={"PYTHONPATH": str(TOP)})


@pytest.mark.parametrize("path", sorted((TOP / "images/steps").glob("[!_]*.py")), ids=lambda path: path.stem)
def test_build_steps_take_values_of_each_other_and_call_nothing(path: Path) -> None:
    """What import-linter cannot say: a step may import another's types and constants, never its functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert not any(name.name.startswith("images.steps") for name in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("images.steps"):
            taken = [getattr(import_module(str(node.module)), name.name) for name in node.names]
            assert not any(inspect.isroutine(what) or inspect.ismodule(what) for what in taken), ast.unparse(node)


def test_yaml() -> None:
    rules = (
        "{extends: default, rules: {line-length: {max: 120}, document-start: disable, braces: {max-spaces-inside: 1},"
    )
    rules += " comments: {min-spaces-from-content: 1}}}"
    # What a template writes in one line for a program is not for people to read.
    lint("yamllint", "--strict", "-d", rules, *tracked("*.yaml", "*.yml", ":!tests/golden"))


def test_shell() -> None:
    scripts = shell_scripts()
    assert scripts
    lint("shellcheck", "--severity=style", "--exclude=SC1091", *scripts)


def test_shell_is_formatted() -> None:
    lint("shfmt", "-d", "-i", "4", *shell_scripts())


def test_spelling() -> None:
    lint("codespell", *[name for name in tracked() if not name.endswith(".lock")])


@pytest.mark.parametrize("what", ["profiles", "answers"])
def test_examples_fit_the_schema_that_is_exported(what: str, tmp_path: Path) -> None:
    schema = profiles.schema() if what == "profiles" else settings.schema()
    files = sorted((TOP / "hardware/profiles").glob("*.yaml"))
    if what == "answers":
        files = sorted(path for path in (TOP / "tests/answers").glob("*.yaml") if "secrets" not in path.stem)
    target = tmp_path / "schema.json"
    target.write_text(json.dumps(schema))
    assert files
    lint("check-jsonschema", "--schemafile", target, *files)


def test_the_repository_names_no_archive_and_no_machine() -> None:
    forbidden = ("deb.debian" + ".org", "security.debian" + ".org", "/work" + "/main", "pypi" + ".org")
    found = [
        f"{name}: {word}"
        for name in tracked()
        for word in forbidden
        if word in (TOP / name).read_text(encoding="utf-8", errors="replace")
    ]
    assert found == []
