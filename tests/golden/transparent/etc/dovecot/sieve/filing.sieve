# overlays/mailboxes/rootfs/etc/dovecot/sieve/filing.sieve.j2
require "fileinto";

fileinto "Quarantine";
