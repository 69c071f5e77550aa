"""An HTTP client at an address of a network: curl, with the certificate of the box as the only one it trusts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from hardware.host import run
from tests.container.network import Segment
from tests.peers import Peers, inside


@dataclass(frozen=True)
class Answer:
    """What came back: status, headers by their names in lower case, and the body."""

    status: int
    headers: dict[str, str]
    body: str


@dataclass(frozen=True)
class Http:
    """Requests from `source` in a network to the box that is called `name` and stands at `address`.

    With `cookies` a file keeps them from one request to the next.
    """

    peers: Peers
    segment: Segment
    name: str
    address: str
    trusted: Path
    source: str = ""
    cookies: Path | None = None

    def get(self, path: str, *options: str, scheme: str = "https") -> Answer:
        """One request; `options` are curl's own. No redirect is followed."""
        argv = ["--silent", "--show-error", "--include", "--path-as-is", "--max-time", "30", "--globoff"]
        argv += ["--cacert", str(inside(self.trusted))]
        argv += [word for port in (80, 443) for word in ("--resolve", f"{self.name}:{port}:{self.address}")]
        argv += ["--interface", self.source] if self.source else []
        if self.cookies:
            argv += ["--cookie", str(inside(self.cookies)), "--cookie-jar", str(inside(self.cookies))]
        command = self.peers.command(
            "curl", *argv, *options, f"{scheme}://{self.name}{path}", namespace=self.segment.namespace
        )
        return _parsed(run.run(command, timeout=60).stdout)

    def post(self, path: str, form: dict[str, str], *options: str) -> Answer:
        """Send a form."""
        fields = (word for name, value in form.items() for word in ("--data-urlencode", f"{name}={value}"))
        return self.get(path, *fields, *options)


def _parsed(text: str) -> Answer:
    """The last answer of several, when curl shows a `100 Continue` first."""
    text = text.replace("\r\n", "\n")
    while re.match(r"HTTP/\S+ 1\d\d", text):
        text = text.partition("\n\n")[2]
    head, _, body = text.partition("\n\n")
    first, *lines = head.splitlines()
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Answer(int(first.split()[1]), headers, body)
