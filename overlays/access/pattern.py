"""Patterns of addresses and names: `*` and `?`, or a regular expression, matched in linear time.

What is matched comes from strangers, so no pattern may be slow. Both kinds run on Rust's regex engine, which pydantic
brings (`pydantic_core`): without backtracking, look-around and back-references, its time grows with the text alone.
Python's `re` has no such promise, and Debian's RE2 would be one more package for the same.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    Field,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic_core import CoreSchema, SchemaError, SchemaValidator, core_schema

from hardware.host.documents import Frozen
from overlays.values import one_line

LONGEST = 200
_LARGE_COUNT = re.compile(r"\{\d*,?\d{3,}")


def _text(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty: such as *@example.com is right")
    if len(text) > LONGEST:
        raise ValueError(f"is longer than {LONGEST} characters")
    return one_line(text)


class Pattern(Frozen):
    """What an address or a name looks like, as a whole and whatever its case. A plain text is one without regex."""

    pattern: Annotated[str, AfterValidator(_text)]
    regex: bool = Field(False, description="a regular expression; otherwise * is any text and ? any character")

    def matches(self, text: str) -> bool:
        return _matcher(self.pattern, self.regex).isinstance_python(text)

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        return {"pattern": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _understood(self) -> Pattern:
        if self.regex and _LARGE_COUNT.search(self.pattern):
            raise ValueError(f"{self.pattern!r} counts beyond 99, which would be slow")
        try:
            if self.regex:
                _compiled(self.pattern)  # by itself: `a)|(b` must not get out of the group that it is put in
            _matcher(self.pattern, self.regex)
        except SchemaError as error:
            reason = str(error).strip().splitlines()[-1].strip().removeprefix("error: ").removeprefix("SchemaError: ")
            raise ValueError(f"{self.pattern!r} is not a regular expression: {reason}") from None
        return self

    @model_serializer(mode="wrap")
    def _shortest(self, handler: SerializerFunctionWrapHandler) -> Any:
        return handler(self) if self.regex else self.pattern

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {
            "anyOf": [{"type": "string", "examples": ["*@example.com"]}, handler.resolve_ref_schema(handler(schema))]
        }


@lru_cache(maxsize=1024)
def _matcher(pattern: str, regex: bool) -> SchemaValidator:
    """The pattern for whole texts, whatever their case. In `*` and `?` every other character means itself."""
    if not regex:
        pattern = "".join({"*": ".*", "?": "."}.get(one, re.escape(one)) for one in pattern)
    return _compiled(rf"(?is)\A(?:{pattern})\z")


def _compiled(pattern: str) -> SchemaValidator:
    return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))
