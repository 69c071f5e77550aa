"""The web server: where it leads whoever names no page, and the certificate that the whole box shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field, PlainValidator

from hardware.host.documents import Frozen
from hardware.parts import OperationMode
from overlays.pem import Authorities, Chain, PrivateKey
from overlays.values import MailAddress, Reason

_DIRECTORY = re.compile(r"https://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?")


def home(mode: OperationMode) -> str:
    """The page that a user of the box wants in that mode."""
    return "/webmail/" if mode is OperationMode.SERVER else "/quarantine/"


def read_directory(value: Any) -> str:
    """An ACME directory's address, in characters that mean the same to every program that reads it."""
    if not isinstance(value, str) or not _DIRECTORY.fullmatch(value):
        example = "https://acme-v02.api.letsencrypt.org/directory"
        raise ValueError(f"{value!r} is not the address of an ACME directory: such as {example} is right")
    return value


class Acme(Frozen):
    """An authority that gives the box a certificate for its name, and another one in time."""

    directory: Annotated[str, PlainValidator(read_directory, json_schema_input_type=str)] = Field(
        description="the authority's directory, as its documentation gives it: https://..."
    )
    contact: MailAddress | None = Field(None, description="whom the authority may write to")
    authorities: Authorities | None = Field(
        None, description="who may sign the directory's own certificate, in PEM (default: those that browsers know)"
    )

    @property
    def host(self) -> str:
        return self.directory.split("/")[2].rpartition(":")[0] or self.directory.split("/")[2]


class WebSettings(Frozen):
    """The certificate of the box. Web server, mail server and mailboxes show the same."""

    certificate: Chain | None = Field(
        None,
        description="the box's own certificate in PEM and those that lead to its root; its key is in the secrets file. "
        "Without one the box shows a certificate that it made itself",
    )
    acme: Acme | None = Field(
        None,
        description="who is asked for a certificate over the net; it looks for the box by the box's name, on port 80",
    )

    @property
    def acme_authority_lines(self) -> list[str]:
        return (self.acme.authorities or "").splitlines() if self.acme else []

    @property
    def acme_trusted(self) -> str:
        """The file with those who may sign the directory's certificate, as a link's target."""
        return "acme-authorities.pem" if self.acme_authority_lines else "../ssl/certs/ca-certificates.crt"


class WebSecrets(Frozen):
    """What belongs to the certificate and must not be seen."""

    key: PrivateKey | None = Field(None, description="the certificate's private key in PEM, without a passphrase")


def problems(web: WebSettings, secrets: WebSecrets | None) -> Iterator[Reason]:
    if web.certificate and secrets is not None and secrets.key is None:
        yield Reason("web.certificate", "its private key is missing", "set web.key in the secrets file")
    if web.certificate and web.acme:
        yield Reason("web.acme", "the settings give the box a certificate already", "leave one of them out")
