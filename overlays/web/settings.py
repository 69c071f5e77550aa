"""The web server: where it leads whoever names no page, and the certificate that the whole box shows."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from hardware.host.documents import Frozen
from hardware.parts import OperationMode
from overlays.pem import Chain, PrivateKey
from overlays.values import Reason


def home(mode: OperationMode) -> str:
    """The page that a user of the box wants in that mode."""
    return "/webmail/" if mode is OperationMode.SERVER else "/quarantine/"


class WebSettings(Frozen):
    """The certificate of the box. Web server, mail server and mailboxes show the same."""

    certificate: Chain | None = Field(
        None,
        description="the box's own certificate in PEM and those that lead to its root; its key is in the secrets file. "
        "Without one the box shows a certificate that it made itself",
    )


class WebSecrets(Frozen):
    """What belongs to the certificate and must not be seen."""

    key: PrivateKey | None = Field(None, description="the certificate's private key in PEM, without a passphrase")


def problems(web: WebSettings, secrets: WebSecrets | None) -> Iterator[Reason]:
    if web.certificate and secrets is not None and secrets.key is None:
        yield Reason("web.certificate", "its private key is missing", "set web.key in the secrets file")
