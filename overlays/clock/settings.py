"""Time zone and time servers."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, PlainValidator

from hardware.host.documents import Frozen
from overlays.values import Host, OneOrMore, Reason, one_line


def time_zones() -> list[str]:
    """Every time zone that can be chosen, sorted. Reads the whole zone database: not for the boot."""
    return sorted(name for name in available_timezones() if "/" in name or name == "UTC")


def read_timezone(value: Any) -> str:
    """The name of a time zone that this system knows."""
    name = one_line(str(value).strip())
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # what ZoneInfo raises for names that are unknown, odd, or folders
        close = difflib.get_close_matches(name, time_zones(), n=3, cutoff=0.5)
        offer = f"did you mean {' or '.join(close)}?" if close else "such as Europe/Zurich or UTC is right"
        raise ValueError(f"{name!r} is not a known time zone: {offer}") from None
    return name


class ClockSettings(Frozen):
    """The clock."""

    timezone: Annotated[str, PlainValidator(read_timezone, json_schema_input_type=str)] = Field(
        "UTC", description="a name of the zone database", examples=["Europe/Zurich"]
    )
    ntp: Annotated[tuple[Host, ...], OneOrMore] = Field((), description="time servers; without any the clock runs free")

    def problems(self) -> Iterator[Reason]:
        for index, server in enumerate(self.ntp):
            if server in self.ntp[:index]:
                yield Reason(f"clock.ntp.{index}", f"{server} stands here twice")
