"""Recipes: what is said about a bad one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from hardware.host.errors import Refused
from images import recipe


@pytest.fixture
def refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """What is said about the appliance's recipe with these changes: one problem a line."""
    record = yaml.safe_load((recipe.RECIPES / "appliance.yaml").read_text())
    monkeypatch.setattr(recipe, "RECIPES", tmp_path)

    def changed(**changes: Any) -> list[str]:
        (tmp_path / "appliance.yaml").write_text(yaml.safe_dump(record | changes))
        with pytest.raises(Refused) as refused:
            recipe.load("appliance")
        return str(refused.value).splitlines()

    return changed


def test_the_shipped_recipe_loads() -> None:
    assert recipe.load("appliance").name == "appliance"


def test_an_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(Refused, match=r"there is no recipe 'aplliance' \(did you mean appliance\?\)"):
        recipe.load("aplliance")


def test_every_problem_is_reported_at_once(refusal: Callable[..., list[str]]) -> None:
    where = "images/recipes/appliance.yaml"
    said = refusal(packagez=["postfix"], packages=[], layout={"esp_mib": 33, "boot_mib": "much", "root_mib": 9000})
    assert said == [
        f"{where}: packages: tuple should have at least 1 item after validation, not 0",
        f"{where}: layout.esp_mib: input should be greater than or equal to 34, not 33",
        f"{where}: layout.boot_mib: input should be a valid integer, unable to parse string as an integer, not 'much'",
        f"{where}: layout.root_mib: input should be less than or equal to 8192, not 9000",
        f"{where}: packagez: is not a setting (did you mean packages?)",
    ]


def test_a_missing_part_is_named(refusal: Callable[..., list[str]]) -> None:
    (line,) = refusal(layout={"esp_mib": 64, "boot_mib": 64})
    assert line.endswith("appliance.yaml: layout.root_mib: is missing")


def test_every_unknown_element_offers_the_nearest(refusal: Callable[..., list[str]]) -> None:
    assert [line.partition(": ")[2] for line in refusal(elements=["debian-rot", "initrd", "leen"])] == [
        "elements.0: there is no element 'debian-rot' (did you mean debian-root?)",
        "elements.2: there is no element 'leen' (did you mean lean?)",
    ]


def test_a_newer_format_is_refused(refusal: Callable[..., list[str]]) -> None:
    (line,) = refusal(format=2)
    assert "format: has format 2, and this version reads up to 1" in line
