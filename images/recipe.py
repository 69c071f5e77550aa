"""What goes into one image: a recipe as a value, and its loader."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from hardware.host.documents import Frozen, nearest, read
from hardware.host.errors import Problem, Refused, refuse

RECIPES = Path(__file__).parent / "recipes"
ELEMENTS = Path(__file__).parent / "elements"


class Sizes(Frozen):
    """Partition sizes of a layout, in MiB."""

    esp_mib: int = Field(ge=34, le=1024)
    boot_mib: int = Field(ge=32, le=1024)
    root_mib: int = Field(ge=64, le=8192)


class Recipe(Frozen):
    """Suite, elements, packages and what of them stays out; the same for every hardware profile."""

    format: Literal[1]
    name: str
    suite: str
    elements: tuple[str, ...] = Field(min_length=1)
    packages: tuple[str, ...] = Field(min_length=1)
    exclude: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    layout: Sizes


def load(name: str) -> Recipe:
    """The recipe of that name. Raises `Refused` with every problem, or with the nearest names."""
    path = RECIPES / f"{name}.yaml"
    if not path.is_file():
        known = [file.stem for file in RECIPES.glob("*.yaml")]
        raise refuse(f"there is no recipe {name!r}", nearest(name, known))
    source = f"images/recipes/{path.name}"
    recipe = read(path, Recipe, source)
    known = [folder.name for folder in ELEMENTS.iterdir() if folder.is_dir()]
    missing = [
        Problem(source, f"elements.{index}", f"there is no element {element!r}", nearest(element, known))
        for index, element in enumerate(recipe.elements)
        if element not in known
    ]
    if missing:
        raise Refused(missing)
    return recipe
