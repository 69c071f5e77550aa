"""Sender reputation: the score, what it leads to, and under which name a client is known."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from installer.box import reputation as command
from overlays.access.reputation import HOURS, REFUSALS, Hour, Limits, Standing, client_name, refusal, score, standing
from overlays.filtering.settings import Reputation

LIMITS = Limits.model_validate_json(Reputation().limits_json)
NOTHING = Hour()


def test_the_references_figures_are_the_defaults() -> None:
    chosen = Reputation()
    assert not chosen.enabled
    assert (chosen.throttle, chosen.tempfail, chosen.reject) == (15, 55, 80)


@pytest.mark.parametrize(
    ("hours", "reached", "how"),
    [
        ([], 0, Standing.GOOD),
        ([Hour(messages=9, asked=1000, known=1000)], 0, Standing.GOOD),
        ([Hour(asked=3)], 13, Standing.GOOD),
        ([Hour(asked=4)], 17, Standing.THROTTLED),
        ([Hour(asked=1, known=1, spam=1)] * 4, 17, Standing.THROTTLED),
        ([Hour(asked=1, known=1, virus=1)], 20, Standing.THROTTLED),
        ([Hour(asked=100, known=100), Hour(asked=10)], 8, Standing.GOOD),
        ([Hour(asked=25)], 56, Standing.PUT_OFF),
        ([Hour(asked=10), NOTHING, Hour(asked=15)], 56, Standing.PUT_OFF),
        ([Hour(asked=80)], 80, Standing.REFUSED),
        ([Hour(asked=1, known=2)], 0, Standing.GOOD),
    ],
)
def test_the_share_of_what_was_bad(hours: list[Hour], reached: int, how: Standing) -> None:
    assert (score(hours), standing(hours, LIMITS)) == (reached, how)


@pytest.mark.parametrize(
    ("now", "before", "may"),
    [(0, 0, True), (1, 0, False), (0, 5, True), (1, 19, False), (1, 20, True), (2, 20, False), (9, 100, True)],
)
def test_a_throttled_client_may_send_a_share_of_the_hour_before(now: int, before: int, may: bool) -> None:
    hours = [Hour(messages=now, asked=200, known=100), Hour(messages=before)]
    assert standing(hours, LIMITS) is Standing.THROTTLED
    assert refusal(hours, LIMITS) == ("" if may else REFUSALS[Standing.THROTTLED])


def test_put_off_for_now_and_refused_for_good() -> None:
    assert refusal([Hour(asked=30), NOTHING], LIMITS).startswith("451 4.7.1 ")
    assert refusal([Hour(asked=100), NOTHING], LIMITS).startswith("550 5.7.1 ")


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1::77", "2001:db8:1::/64"),
        ("2001:db8:1:0:ffff::1", "2001:db8:1::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
    ],
)
def test_an_ipv6_client_is_its_network(address: str, name: str) -> None:
    assert client_name(ip_address(address)) == name


def test_the_command_shows_the_worst_first() -> None:
    hours = {"192.0.2.1": [Hour(asked=2, known=2)] * HOURS, "192.0.2.2": [Hour(messages=1, asked=30), Hour(virus=1)]}
    found = command.of_clients({name: list(past) for name, past in hours.items()}, LIMITS)
    assert [(one.client, one.standing) for one in found] == [("192.0.2.2", "put off"), ("192.0.2.1", "good")]
    assert found[0].past == Hour(messages=1, asked=30, virus=1)
