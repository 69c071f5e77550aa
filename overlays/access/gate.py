"""The access rules, with sender reputation before them. Postfix asks twice of a recipient: before it looks whether
there is one, and after (`known`). Of mail that only crosses the box, for which there are no rules, the proxy asks when
a message begins (`begins`), and tells what the server says of each recipient (`heard`)."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from ipaddress import ip_address, ip_network
from typing import TypeVar

from redis import RedisError

from overlays.access import reputation
from overlays.access.ledger import Ledger
from overlays.access.policy import Policy
from overlays.access.reputation import Limits
from overlays.access.settings import AccessRule, relaying
from overlays.values import AnyAddress

T = TypeVar("T")


class Gate:
    """Answers as the rules do, unless the client's past speaks against it. Without Valkey nobody has a past."""

    def __init__(self, policy: Policy, rules: tuple[AccessRule, ...], limits: Limits) -> None:
        self._policy = policy
        self._limits = limits
        self._trusted = [ip_network(str(network)) for network in (*relaying(rules), "127.0.0.0/8", "::1/128")]
        self._ledger = Ledger()
        self._away = False

    async def answer(self, attributes: Mapping[str, str]) -> str:
        """The action for Postfix, or for the proxy."""
        address = ip_address(attributes["client_address"].removeprefix("IPv6:"))
        client = "" if self._is_trusted(address, attributes) else reputation.client_name(address)
        match attributes.get("policy_context"):
            case "known":
                await self._note(client, "known")
                return "DUNNO"
            case "heard":
                await self._note(client, "asked", *(("known",) if attributes["known"] == "yes" else ()))
                return "DUNNO"
            case "begins":
                if refused := await self._refusal(client):
                    return refused
                await self._note(client, "messages")
                return "DUNNO"
        begins = not self._policy.has_begun(attributes["instance"])
        if begins and (refused := await self._refusal(client)):
            return refused
        said = self._policy.answer(attributes)
        if self._policy.has_begun(attributes["instance"]) and not said.startswith(("REJECT", "4")):
            await self._note(client, "asked", *(("messages",) if begins else ()))
        return said

    def _is_trusted(self, address: AnyAddress, attributes: Mapping[str, str]) -> bool:
        return bool(attributes.get("sasl_username")) or any(address in network for network in self._trusted)

    async def _refusal(self, client: str) -> str:
        hours = await self._heard(self._ledger.hours(client)) if client else None
        refused = reputation.refusal(hours, self._limits) if hours else ""
        if refused:
            print(f"reputation client_address=<{client}> answer={refused.split()[0]}", flush=True)
        return refused

    async def _note(self, client: str, *names: str) -> None:
        if client:
            await self._heard(self._ledger.add(client, *names))

    async def _heard(self, asked: Awaitable[T]) -> T | None:
        """What Valkey says; None while it is away, which the journal hears of once."""
        try:
            heard = await asked
        except (RedisError, OSError) as error:
            if not self._away:
                print(f"reputation is not known: {error}", flush=True)
            self._away = True
            return None
        self._away = False
        return heard
