# overlays/mailboxes/rootfs/etc/dovecot/sieve/filing.sieve
require "fileinto";

fileinto "Quarantine";
