"""`postern definitions`: which virus definitions the box has and how old they are; and how well its filter is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from installer.apply.places import Places

FOLDER = "var/lib/clamav"
DNS_STATE = "run/rspamd/dns"
TEST_SET = "only a test set, which protects from nothing"
OLD = timedelta(days=3)
NAMES = tuple(f"{name}.{form}" for name in ("main", "daily", "bytecode") for form in ("cvd", "cld"))
_DATE = "%d %b %Y %H-%M %z"  # as in the head of a .cvd: 24 Nov 2026 09-00 +0000
_HEAD_BYTES = 512


@dataclass(frozen=True)
class Definitions:
    """One signed set."""

    name: str
    version: int
    made: str  # ISO 8601
    signatures: int

    @property
    def age(self) -> timedelta:
        return datetime.now(UTC) - datetime.fromisoformat(self.made)


def report(places: Places, *, as_json: bool) -> str:
    """What there is, for a person or a program."""
    found = list(installed(places))
    return json.dumps([asdict(one) for one in found], indent=1) if as_json else summary(found)


def installed(places: Places) -> Iterator[Definitions]:
    """The signed sets on the box. What has no head that can be read is not listed."""
    for name in NAMES:
        path = places.root / FOLDER / name
        found = read_head(path) if path.is_file() else None
        if found:
            yield found


def summary(found: list[Definitions]) -> str:
    """The sets for a person, a line each."""
    lines = [
        f"{one.name} {one.version} of {one.made[:10]}, {one.age.days} days old, {one.signatures} signatures"
        for one in found
    ]
    return "\n".join(lines or [TEST_SET])


def problem(found: list[Definitions]) -> str:
    """What `postern status` complains about; empty when there is nothing."""
    if not found:
        return f"virus definitions: {TEST_SET} (filtering.definitions.source names where to get ClamAV's)"
    youngest = min(one.age for one in found)
    return f"virus definitions: {youngest.days} days old" if youngest > OLD else ""


def dns_problem(places: Places) -> str:
    """Whether the filter goes without DNS; empty when it does not."""
    path = places.root / DNS_STATE
    silent = path.is_file() and path.read_text(errors="replace").strip() == "silent"
    return "filtering: DNS does not answer, so rules that ask it are off" if silent else ""


def read_head(path: Path) -> Definitions | None:
    """From the first bytes of a .cvd or .cld: colons between its fields."""
    with path.open("rb") as file:
        fields = file.read(_HEAD_BYTES).decode("ascii", "replace").split(":")
    if fields[0] != "ClamAV-VDB" or len(fields) < 4:
        return None
    try:
        made = datetime.strptime(fields[1], _DATE)
        return Definitions(path.name, int(fields[2]), made.isoformat(), int(fields[3]))
    except ValueError:
        return None
