# overlays/mailboxes/rootfs/etc/dovecot/sieve/filing.sieve.j2
require "fileinto";

if header :is "X-Postern-Verdict" "spam" {
    fileinto "Bulk";
    stop;
}
