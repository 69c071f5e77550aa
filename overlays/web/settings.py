"""The web server: where it leads whoever names no page, and the certificate that the whole box shows."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field, PlainSerializer, PlainValidator, SecretStr

from hardware.host.documents import Frozen
from hardware.parts import OperationMode
from overlays.values import Reason

_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----\s+([A-Za-z0-9+/=\s]*?)-----END \1-----")
_COLUMNS = 64
MOST_CERTIFICATES = 8


def home(mode: OperationMode) -> str:
    """The page that a user of the box wants in that mode."""
    return "/webmail/" if mode is OperationMode.SERVER else "/quarantine/"


def read_chain(value: Any) -> str:
    """Certificates in PEM, the box's own first: in one form, without what stood around them."""
    blocks = _blocks(value)
    if any("PRIVATE KEY" in label for label, _ in blocks):
        raise ValueError("holds a private key: that belongs into the secrets file, as web.key")
    found = [body for label, body in blocks if label == "CERTIFICATE"]
    if not found:
        raise ValueError("is not a certificate in PEM form: it begins with -----BEGIN CERTIFICATE-----")
    if len(found) > MOST_CERTIFICATES:
        raise ValueError(f"holds {len(found)} certificates: the box's own and those that lead to its root are right")
    return "".join(_pem("CERTIFICATE", body, f"certificate {number}") for number, body in enumerate(found, 1))


def read_private_key(value: Any) -> SecretStr:
    """A private key in PEM, without a passphrase: the box starts with nobody at hand."""
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    keys = [(label, body) for label, body in _blocks(text) if label.endswith("PRIVATE KEY")]
    if "ENCRYPTED" in text:
        raise ValueError("has a passphrase: `openssl pkey -in FILE` takes it off")
    if len(keys) != 1:
        raise ValueError("is not one private key in PEM form: it begins with -----BEGIN PRIVATE KEY-----")
    return SecretStr(_pem(*keys[0], "the key"))


def _blocks(value: Any) -> list[tuple[str, str]]:
    if not isinstance(value, str):
        raise ValueError("is not a text: PEM is right, as a block that begins with `|`")
    return _BLOCK.findall(value)


def _pem(label: str, body: str, what: str) -> str:
    try:
        raw = base64.b64decode("".join(body.split()), validate=True)
    except binascii.Error:
        raw = b""
    if not raw:
        raise ValueError(f"{what} is not whole: it was cut or changed on its way here")
    text = base64.b64encode(raw).decode()
    lines = [text[start : start + _COLUMNS] for start in range(0, len(text), _COLUMNS)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


def _text_of(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


Chain = Annotated[str, PlainValidator(read_chain, json_schema_input_type=str)]
# Hidden in repr and str; written out only where JSON or YAML is made of it, which is the secrets file.
PrivateKey = Annotated[
    SecretStr,
    PlainValidator(read_private_key, json_schema_input_type=str),
    PlainSerializer(_text_of, return_type=str, when_used="json"),
]


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
