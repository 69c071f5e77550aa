"""The peer of mail figures: Debian itself, booted like a box, with each package in its default set-up."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hardware.host import run
from tests.container.box import Box, until

# What README.Debian of amavisd-new and its README.postfix have an administrator write; all else is as Debian sets it.
_MASTER = """
smtp-amavis unix - - y - 2 smtp
    -o smtp_data_done_timeout=1200
    -o smtp_send_xforward_command=yes
    -o disable_dns_lookups=yes
    -o max_use=20
127.0.0.1:10025 inet n - y - - smtpd
    -o content_filter=
    -o smtpd_delay_reject=no
    -o smtpd_client_restrictions=permit_mynetworks,reject
    -o smtpd_helo_restrictions=
    -o smtpd_sender_restrictions=
    -o smtpd_recipient_restrictions=permit_mynetworks,reject
    -o smtpd_data_restrictions=reject_unauth_pipelining
    -o smtpd_end_of_data_restrictions=
    -o smtpd_restriction_classes=
    -o mynetworks=127.0.0.0/8
    -o smtpd_error_sleep_time=0
    -o smtpd_soft_error_limit=1001
    -o smtpd_hard_error_limit=1000
    -o smtpd_client_connection_count_limit=0
    -o smtpd_client_connection_rate_limit=0
    -o receive_override_options=no_header_body_checks,no_unknown_recipient_checks,no_milters,no_address_mappings
    -o local_header_rewrite_clients=
"""
_AMAVIS = """use strict;
$myhostname = "mx1.mail.example.org";
@local_domains_acl = ( "example.com" );
@bypass_virus_checks_maps = (\\%bypass_virus_checks, \\@bypass_virus_checks_acl, \\$bypass_virus_checks_re);
@bypass_spam_checks_maps = (\\%bypass_spam_checks, \\@bypass_spam_checks_acl, \\$bypass_spam_checks_re);
1;
"""
_HAPROXY = """
listen smtp
    bind 192.0.2.10:2525
    mode tcp
    option tcplog
    server mail {server}
"""
_SERVICES = ("postfix", "amavis", "clamav-daemon", "haproxy")
_NOT_HERE = ("clamav-freshclam.service", "clamav-freshclam-once.service")  # there is no way out of the lab


class Debian(Box):
    """A booted Debian tree (`tests.peers.debian_tree`). What it serves is begun by the methods below."""

    def start(self, credentials: Mapping[str, str] | None = None, stage: str = "in-service") -> None:
        run.run(["cp", "-a", f"{self.tree}/var/.", self.var])
        super().start(credentials, stage)
        self.run("systemctl", "stop", *_SERVICES, check=False)
        for number, address in enumerate(("192.0.2.10/24", "10.0.0.1/24"), 1):
            self.run("ip", "address", "add", address, "dev", f"port{number}")
            self.run("ip", "link", "set", f"port{number}", "up")
        self._write("etc/resolv.conf", "nameserver 192.0.2.53\n")

    @property
    def stage(self) -> str:
        said = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        return "in-service" if said in ("running", "degraded") else said

    def _nspawn(self, credentials: Mapping[str, str]) -> list[str | Path]:
        return [*super()._nspawn(credentials), *(f"systemd.mask={unit}" for unit in _NOT_HERE)]

    def relay(self, server: str) -> None:
        """Postfix takes mail for example.com and hands it to that server."""
        where = ("relay_domains=example.com", f"transport_maps=inline:{{example.com=smtp:{server}}}")
        self.run("postconf", "-e", "inet_interfaces=all", "mynetworks=127.0.0.0/8", "mydestination=", *where)
        self.run("systemctl", "restart", "postfix")

    def filter(self, definitions: Path) -> None:
        """From now on amavisd-new looks at what Postfix took, with SpamAssassin and ClamAV."""
        run.run(["cp", "-L", *definitions.iterdir(), self.path("var/lib/clamav")])
        # Debian's condition wants the official definitions.
        self._write("run/systemd/system/clamav-daemon.service.d/a.conf", "[Unit]\nConditionPathExistsGlob=\n")
        self.run("usermod", "--append", "--groups", "amavis", "clamav")
        self._write("etc/amavis/conf.d/50-user", _AMAVIS)
        with self.path("etc/postfix/master.cf").open("a") as file:
            file.write(_MASTER)
        self.run("postconf", "-e", "content_filter=smtp-amavis:[127.0.0.1]:10024")
        self.run("systemctl", "daemon-reload")
        self.run("systemctl", "restart", "clamav-daemon", "amavis", "postfix")
        until(lambda: self.path("run/clamav/clamd.ctl").exists(), "clamd", self.tail)
        until(lambda: "127.0.0.1:10024" in self.run("ss", "-Hltn").stdout, "amavisd-new", self.tail)

    def pass_through(self, server: str) -> None:
        """HAProxy at port 2525, by TCP alone. Postfix is off."""
        self.run("systemctl", "stop", "postfix", "amavis", "clamav-daemon")
        with self.path("etc/haproxy/haproxy.cfg").open("a") as file:
            file.write(_HAPROXY.format(server=server))
        self.run("systemctl", "restart", "haproxy")

    def _write(self, path: str, text: str) -> None:
        self.path(path).parent.mkdir(parents=True, exist_ok=True)
        self.path(path).unlink(missing_ok=True)
        self.path(path).write_text(text)
