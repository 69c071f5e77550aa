"""A certificate authority of the tests: a root, one between, and what that signs. Made by this machine's openssl."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hardware.host.run import run

DAYS = 90
EC = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
RSA = ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
WEAK = ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024")


@dataclass(frozen=True)
class Signed:
    """A certificate and its key, in PEM."""

    text: str
    key: str


class Authority:
    """An authority that writes what openssl reads into a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        argv = ["openssl", "req", "-x509", "-new", "-key", "/dev/stdin", "-days", "3650", "-subj", "/CN=A root"]
        key = run(["openssl", "genpkey", *EC]).stdout
        self.root = Signed(run(argv, stdin=key).stdout, key)
        self.between = self.sign("One between", self.root, extensions="basicConstraints=critical,CA:TRUE\n")

    def sign(self, name: str, by: Signed | None = None, kind: tuple[str, ...] = EC, extensions: str = "") -> Signed:
        """A certificate for a name, with a key of its own; signed by the one between unless another is given."""
        signer = by or self.between
        key = run(["openssl", "genpkey", *kind]).stdout
        request = run(["openssl", "req", "-new", "-key", "/dev/stdin", "-subj", f"/CN={name}"], stdin=key).stdout
        files = {
            "signer": signer.text,
            "signer-key": signer.key,
            "extensions": extensions or f"subjectAltName=DNS:{name}\nbasicConstraints=critical,CA:FALSE\n",
        }
        for word, text in files.items():
            (self.folder / word).write_text(text)
        argv = ["openssl", "x509", "-req", "-CA", "signer", "-CAkey", "signer-key", "-extfile", "extensions"]
        argv += ["-days", str(DAYS), "-set_serial", str(int.from_bytes(key[40:48].encode()))]
        return Signed(run(argv, stdin=request, cwd=self.folder).stdout, key)
