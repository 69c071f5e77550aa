"""Certificates and keys as settings hold them: PEM, checked for its form and kept in one."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, SecretStr

from overlays.values import text_of

_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----\s+([A-Za-z0-9+/=\s]*?)-----END \1-----")
_COLUMNS = 64
MOST_CERTIFICATES = 8
AUTHORITIES_OF_THE_WORLD = "/etc/ssl/certs/ca-certificates.crt"


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


def read_authorities(value: Any) -> str:
    """Certificates in PEM whose word is taken, in any order."""
    import ssl  # each start of the box reads settings, and seldom any with such certificates

    found = [body for label, body in _blocks(value) if label == "CERTIFICATE"]
    text = "".join(_pem("CERTIFICATE", body, f"certificate {number}") for number, body in enumerate(found, 1))
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError):
        raise ValueError("is not a certificate in PEM form: it begins with -----BEGIN CERTIFICATE-----") from None
    return text


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


Chain = Annotated[str, PlainValidator(read_chain, json_schema_input_type=str)]
Authorities = Annotated[str, PlainValidator(read_authorities, json_schema_input_type=str)]
# Hidden in repr and str; written out only where JSON or YAML is made of it, which is the secrets file.
PrivateKey = Annotated[
    SecretStr,
    PlainValidator(read_private_key, json_schema_input_type=str),
    PlainSerializer(text_of, return_type=str, when_used="json"),
]
