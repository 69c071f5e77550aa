"""A protected domain's mailboxes: Debian's Dovecot, which knows its users' passwords, at addresses inside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from hardware.host import run
from tests.container.box import until
from tests.container.network import Segment
from tests.peers import Peers, inside

_NOBODY = 65534
_CONFIGURATION = """
dovecot_config_version = 2.4.1
dovecot_storage_version = 2.4.1
protocols = imap pop3
listen = {listen}
base_dir = {folder}/run
state_dir = {folder}/run
log_path = {folder}/log
default_internal_user = root
default_internal_group = root
default_login_user = nobody
first_valid_uid = 1
ssl = yes
ssl_server_cert_file = {certificate}
ssl_server_key_file = {certificate}
auth_allow_cleartext = yes
auth_failure_delay = 0
mail_driver = maildir
mail_path = {folder}/mail/%{{user}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service imap-login {{
  chroot =
}}
service pop3-login {{
  chroot =
}}
passdb passwd-file {{
  passwd_file_path = {folder}/passwords
}}
userdb static {{
  fields {{
    uid = {nobody}
    gid = {nobody}
    home = {folder}/mail/%{{user}}
  }}
}}
"""


@contextmanager
def mailboxes(
    peers: Peers, segment: Segment, addresses: Sequence[str], folder: Path, certificate: Path, users: Mapping[str, str]
) -> Iterator[None]:
    """IMAP and POP3, plain, with STARTTLS and with TLS, for users with these passwords."""
    (folder / "mail").mkdir(parents=True)
    (folder / "mail").chmod(0o777)
    (folder / "passwords").write_text("".join(f"{user}:{{PLAIN}}{word}\n" for user, word in users.items()))
    words = {"listen": ", ".join(addresses), "folder": inside(folder), "certificate": inside(certificate)}
    (folder / "dovecot.conf").write_text(_CONFIGURATION.format(nobody=_NOBODY, **words))
    argv = peers.command("dovecot", "-F", "-c", inside(folder / "dovecot.conf"), namespace=segment.namespace)
    with run.spawn(argv, log=folder / "said"):
        for address in addresses:
            until(lambda at=address: segment.answers(at, 143), "IMAP", (folder / "said").read_text)  # type: ignore[misc]
        yield
