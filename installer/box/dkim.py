"""`postern dkim`: the record that each domain's owner publishes, so that others can verify what the box has signed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum

from hardware.host.errors import refuse
from hardware.host.run import run
from installer.apply.places import Places
from installer.box.change import in_force, open_box
from overlays.settings import Signature

_STRING = 255  # the most that one string of a TXT record holds
_PATIENCE = 5.0
NONE = "No domain's mail is signed: domains.N.filtering.dkim names the selector under which it would be."

Lookup = Callable[[str], tuple[str, ...] | None]
"""The TXT records of a name, each whole; None when DNS does not answer."""


class Published(StrEnum):
    """What DNS says of a record."""

    RIGHT = "right"
    MISSING = "missing"
    OTHER = "other"
    UNKNOWN = "unknown"


_SAID = {
    Published.RIGHT: "is published",
    Published.MISSING: "is NOT PUBLISHED: give its owner this line for the zone",
    Published.OTHER: "has ANOTHER RECORD published: give its owner this line for the zone instead",
    Published.UNKNOWN: "may be published or not: DNS does not answer",
}


@dataclass(frozen=True)
class Record:
    """One domain's record."""

    domain: str
    name: str
    type: str
    value: str
    zone: str  # the line for a zone file
    published: Published


def report(places: Places, *, as_json: bool) -> str:
    """All of them, for a person or a program. Raises `Refused`."""
    found = list(records(places, in_force(open_box(places)).settings.signs))
    if as_json:
        return json.dumps([asdict(one) for one in found], indent=1)
    return "\n".join(f"{one.domain} {_SAID[one.published]}\n{one.zone}" for one in found) or NONE


def records(places: Places, signs: tuple[Signature, ...], lookup: Lookup | None = None) -> Iterator[Record]:
    """Of each domain that signs, with what DNS says of it."""
    ask = lookup or published_texts
    for signature in signs:
        key = places.device / "dkim" / signature.file
        if not key.is_file():
            raise refuse(f"{signature.domain} has no key yet", "`postern apply` makes it")
        public = run(["openssl", "pkey", "-in", key, "-pubout"]).stdout
        value = f"v=DKIM1; k=rsa; p={''.join(public.splitlines()[1:-1])}"
        name = f"{signature.selector}._domainkey.{signature.domain}"
        yield Record(signature.domain, name, "TXT", value, _zone(name, value), compare(value, ask(name)))


def compare(value: str, found: tuple[str, ...] | None) -> Published:
    """Whether a verifier finds this key and no other. Spaces, and tags that say what holds anyway, do not count."""
    if found is None:
        return Published.UNKNOWN
    if not found:
        return Published.MISSING
    tags = [{"v": "DKIM1", "k": "rsa"} | _tags(one) for one in found]
    return Published.RIGHT if tags == [_tags(value)] else Published.OTHER


def _tags(record: str) -> dict[str, str]:
    pairs = (tag.partition("=") for tag in record.split(";") if tag.strip())
    return {name.strip(): "".join(value.split()) for name, _, value in pairs}


def _zone(name: str, value: str) -> str:
    strings = (value[start : start + _STRING] for start in range(0, len(value), _STRING))
    quoted = " ".join(f'"{one}"' for one in strings)
    return f"{name}. IN TXT ( {quoted} )"


def published_texts(name: str) -> tuple[str, ...] | None:
    """What the box's own name servers say."""
    from dns import exception, resolver
    from dns.rdtypes.ANY.TXT import TXT

    try:
        answer = resolver.resolve(f"{name}.", "TXT", lifetime=_PATIENCE)
    except (resolver.NXDOMAIN, resolver.NoAnswer):
        return ()
    except (exception.DNSException, OSError):
        return None
    return tuple(b"".join(one.strings).decode("utf-8", "replace") for one in answer if isinstance(one, TXT))
