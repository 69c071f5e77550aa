"""`postern definitions`: which virus definitions the box has, where they come from and how old they are; and how well
its filter is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from installer.apply.places import Places
from installer.apply.store import Store
from overlays.filtering.settings import OFFICIAL_MIRROR, Source

FOLDER = "var/lib/clamav"
DNS_STATE = "run/rspamd/dns"
TEST_SET = "only a test set, which protects from nothing"
OLD = timedelta(days=3)
NAMES = tuple(f"{name}.{form}" for name in ("main", "daily", "bytecode") for form in ("cvd", "cld"))
_DATE = "%d %b %Y %H-%M %z"  # as in the head of a .cvd: 24 Nov 2026 09-00 +0000
_HEAD_BYTES = 512
_TEST_SET = "postern-test."
_OWN = (".hdb", ".hsb", ".ldb", ".ndb")
_SOURCES = {
    Source.OFFLINE: "files that `postern definitions FILE` takes",
    Source.OFFICIAL: f"{OFFICIAL_MIRROR}, fetched by freshclam",
}


@dataclass(frozen=True)
class Definitions:
    """One set. Of one's own ones the version is 0, and `made` is when they were taken."""

    name: str
    version: int
    made: str  # ISO 8601
    signatures: int
    signed: bool = True

    @property
    def age(self) -> timedelta:
        return datetime.now(UTC) - datetime.fromisoformat(self.made)


def report(places: Places, *, as_json: bool) -> str:
    """What there is, for a person or a program."""
    found, origin = list(installed(places)), _origin(places)
    if as_json:
        return json.dumps({"source": origin, "sets": [asdict(one) for one in found]}, indent=1)
    return f"{summary(found)}\nsource: {origin}"


def _origin(places: Places) -> str:
    """Where new ones come from, by the settings in force."""
    store = Store(places)
    generation = store.current()
    if generation is None:
        return "none before set-up"
    chosen = store.load(generation)[0].filtering.definitions
    return _SOURCES.get(chosen.source) or f"the mirror {chosen.mirror}, fetched by freshclam"


def installed(places: Places) -> Iterator[Definitions]:
    """The sets on the box, apart from the test set. What should have a head and has none is not listed."""
    folder = places.root / FOLDER
    for name in NAMES:
        found = read_head(folder / name) if (folder / name).is_file() else None
        if found:
            yield found
    for path in sorted(folder.glob("*")):
        if path.suffix in _OWN and not path.name.startswith((_TEST_SET, ".")):
            taken = datetime.fromtimestamp(path.stat().st_mtime, UTC).replace(microsecond=0)
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            number = sum(bool(line.strip()) and not line.startswith("#") for line in lines)
            yield Definitions(path.name, 0, taken.isoformat(), number, signed=False)


def summary(found: list[Definitions]) -> str:
    """The sets for a person, a line each."""
    lines = [describe(one) for one in found]
    return "\n".join(lines if any(one.signed for one in found) else [*lines, TEST_SET])


def describe(one: Definitions) -> str:
    if not one.signed:
        return f"{one.name} taken {one.made[:10]}, not signed by ClamAV, {one.signatures} signatures"
    return f"{one.name} {one.version} of {one.made[:10]}, {one.age.days} days old, {one.signatures} signatures"


def problem(found: list[Definitions]) -> str:
    """What `postern status` complains about; empty when there is nothing."""
    signed = [one for one in found if one.signed]
    if not signed:
        return f"virus definitions: {TEST_SET} (filtering.definitions.source names where to get ClamAV's)"
    youngest = min(one.age for one in signed)
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
