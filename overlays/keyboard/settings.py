"""The keyboard of the box's screen: what its keys mean. A terminal on a serial line has a keyboard of its own."""

from __future__ import annotations

import difflib
import re
from typing import Annotated, Any, NamedTuple

from pydantic import Field, PlainValidator

from hardware.host.documents import Frozen
from overlays.values import one_line

DEFAULT = "us"  # the kernel's own


class Layout(NamedTuple):
    """A layout as people call it, and the file of Debian's console-data that holds it."""

    name: str
    keymap: str


# Those that type Latin letters, for a log-in and a password have to be typed, and whose keys mean from the start what
# is written on them: some of console-data's begin as a US keyboard, until a key is pressed.
LAYOUTS = {
    "us": Layout("English (US)", "us"),
    "us-intl": Layout("English (international)", "us-intl.iso15"),
    "dvorak": Layout("English (Dvorak)", "dvorak"),
    "gb": Layout("English (British, UK)", "uk"),
    "de": Layout("German, Austrian", "de-latin1-nodeadkeys"),
    "ch": Layout("Swiss German", "sg-latin1"),
    "fr": Layout("French", "fr-latin9"),
    "ch-fr": Layout("Swiss French", "fr_CH-latin1"),
    "be": Layout("Belgian", "be2-latin1"),
    "nl": Layout("Dutch", "nl"),
    "it": Layout("Italian", "it"),
    "es": Layout("Spanish", "es"),
    "latam": Layout("Latin American", "la-latin1"),
    "pt": Layout("Portuguese", "pt-latin1"),
    "br": Layout("Brazilian", "br-abnt2"),
    "ca": Layout("Canadian French", "cf"),
    "dk": Layout("Danish", "dk-latin1"),
    "no": Layout("Norwegian", "no-latin1"),
    "se": Layout("Swedish", "se-latin1"),
    "fi": Layout("Finnish", "fi-latin1"),
    "is": Layout("Icelandic", "is-latin1"),
    "pl": Layout("Polish", "pl"),
    "cz": Layout("Czech", "cz-us-qwertz"),
    "hu": Layout("Hungarian", "hu"),
    "si": Layout("Slovenian", "slovene"),
    "hr": Layout("Croatian", "croat"),
    "ro": Layout("Romanian", "ro"),
    "ee": Layout("Estonian", "et"),
    "tr": Layout("Turkish (Q)", "trqu"),
    "tr-f": Layout("Turkish (F)", "trfu"),
    "jp": Layout("Japanese", "jp106"),
}


def read_layout(value: Any) -> str:
    """The code of a layout."""
    text = "no" if value is False else one_line(str(value).strip())  # to YAML, Norway is false
    if text.lower() in LAYOUTS:
        return text.lower()
    words = {code: [code, *re.findall(r"\w+", layout.name)] for code, layout in LAYOUTS.items()}
    known = {word.casefold(): code for code, named in reversed(words.items()) for word in named}  # the first has it
    close = [known[one] for one in difflib.get_close_matches(text.casefold(), known, n=3, cutoff=0.6)]
    near = [f"{code} ({LAYOUTS[code].name})" for code in dict.fromkeys(close)]
    offer = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(LAYOUTS)}"
    raise ValueError(f"{text!r} is not a keyboard layout: {offer}")


LayoutCode = Annotated[str, PlainValidator(read_layout, json_schema_input_type=str)]


class KeyboardSettings(Frozen):
    """The keyboard of the box's screen."""

    layout: LayoutCode = Field(
        DEFAULT,
        description=f"what its keys mean: {', '.join(f'{code} ({one.name})' for code, one in LAYOUTS.items())}",
        examples=["de"],
    )

    @property
    def keymap(self) -> str:
        """The layout as loadkeys knows it."""
        return LAYOUTS[self.layout].keymap
