#!/bin/bash
# The part of the initrd that is ours: the data partition and a writable /etc.
# shellcheck disable=SC2154 # moddir, initdir and systemdsystemunitdir are dracut's

check() { return 0; }

depends() { echo systemd systemd-repart; }

install() {
    inst_multiple mkfs.ext4 fsck.ext4 e2fsck mount mkdir cat tr cp mv sync
    inst_simple "$moddir/50-data.conf" /usr/lib/repart.d/50-data.conf
    inst_simple "$moddir/sysroot-var.mount" "$systemdsystemunitdir/sysroot-var.mount"
    inst_simple "$moddir/postern-etc.service" "$systemdsystemunitdir/postern-etc.service"
    inst_simple "$moddir/postern-etc" /usr/lib/postern/postern-etc
    inst_simple "$moddir/after-root.conf" "$systemdsystemunitdir/systemd-repart.service.d/10-postern.conf"
    inst_simple "$moddir/storage-only.conf" "$systemdsystemunitdir/systemd-udev-trigger.service.d/10-postern.conf"
    inst_simple "$moddir/no-fstab.conf" "$systemdsystemunitdir/initrd-parse-etc.service.d/10-postern.conf"
    $SYSTEMCTL -q --root "$initdir" add-wants initrd-fs.target sysroot-var.mount
    $SYSTEMCTL -q --root "$initdir" add-requires initrd.target postern-etc.service
}
