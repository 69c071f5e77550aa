"""YAML documents that become frozen, typed values at the edge: every problem at once, nearest names offered."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from hardware.host.errors import Problem, Refused, refuse


class Frozen(BaseModel):
    """A value: it cannot be changed, and a key that it does not know is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class _Dumper(yaml.SafeDumper):
    """YAML as people read it: a text of several lines as it is, not as one with signs for its line ends."""


def _scalar(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _scalar)
Document = TypeVar("Document", bound=BaseModel)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # chosen at run time: libyaml is ten times faster
    """YAML as people write it: a key given twice is an error, not a silent loss."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key!r} stands here twice", key_node.start_mark
            )
        seen.add(key)
    return dict(yaml.SafeLoader.construct_mapping(loader, node, deep=True))


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def parse(text: str, source: str, model: type[Document]) -> Document:
    """A document's value. Raises `Refused` with every problem that a reader can mend, each with its path."""
    try:
        raw = yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader, made stricter
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}" if mark else ""
        raise refuse(f"is not YAML: {getattr(error, 'problem', None) or error}", where=source, path=line) from error
    if not isinstance(raw, dict):
        raise refuse("is empty or not a mapping of settings", "it starts with `format: 1`", where=source)
    newest = _newest_format(model)
    if isinstance(raw.get("format"), int) and newest and raw["format"] > newest:
        raise refuse(
            f"has format {raw['format']}, and this version reads up to {newest}",
            "use a newer version, or write the older format",
            where=source,
            path="format",
        )
    return checked(raw, source, model)


def checked(raw: dict[str, Any], source: str, model: type[Document]) -> Document:
    """The value of a tree that was read already. Raises `Refused` as `parse` does."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise Refused(_problems(error, source, model)) from error


def read(path: Path, model: type[Document], source: str = "") -> Document:
    """The value of a document in a file; as `parse`, and a file that cannot be read is a problem too."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise refuse(f"cannot be read: {reason}", where=source or str(path)) from error
    return parse(text, source or str(path), model)


def dump(value: BaseModel) -> str:
    """A value as the YAML that `parse` turns back into it; what is at its default stays out."""
    plain = value.model_dump(mode="json", exclude_defaults=True, by_alias=True)
    number = {"format": value.format} if hasattr(value, "format") else {}
    return yaml.dump(
        number | plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=120
    )


def nearest(name: str, known: Iterable[str]) -> str:
    """The names closest to a misspelt one as a hint, or all that there are."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(names)}"


def _newest_format(model: type[BaseModel]) -> int:
    field = model.model_fields.get("format")
    numbers = getattr(field.annotation, "__args__", ()) if field else ()
    return max((number for number in numbers if isinstance(number, int)), default=0)


def _problems(error: ValidationError, source: str, model: type[BaseModel]) -> list[Problem]:
    found: dict[tuple[str, str], Problem] = {}
    for item in error.errors(include_url=False):
        location = tuple(str(part) for part in item["loc"])
        path = ".".join(part for part in location if not part.startswith(("function-", "constrained-")))
        kind, message, hint = item["type"], item["msg"], ""
        if kind == "extra_forbidden":
            message, hint = "is not a setting", nearest(location[-1], _keys_at(model, location[:-1]))
        elif kind == "missing":
            message = "is missing"
        elif kind == "value_error":
            message = str(item.get("ctx", {}).get("error", message))
        elif kind in ("tuple_type", "list_type"):
            message = "is not a list"
        elif kind in ("model_type", "dict_type"):
            message = "is not a mapping of settings"
        elif kind in ("enum", "literal_error"):
            message = f"cannot be {item['input']!r}: {item['ctx']['expected']} would be right"
        else:
            message = f"{message[:1].lower()}{message[1:]}"
            if not isinstance(item["input"], (dict, list)) and "secret" not in path and "password" not in path:
                message += f", not {item['input']!r}"
        found.setdefault((path, message), Problem(source, path, message, hint))
    return list(found.values())


def _keys_at(model: type[BaseModel], location: tuple[str, ...]) -> list[str]:
    """The keys of the model that `location` leads to, as far as the annotations tell."""
    here: Any = model
    for part in location:
        known = (kind.model_fields[part].annotation for kind in _models(here) if part in kind.model_fields)
        here = next(known, here)
    return sorted({name for kind in _models(here) for name in kind.model_fields})


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [kind for part in getattr(annotation, "__args__", ()) for kind in _models(part)]
