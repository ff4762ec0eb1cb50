#!/bin/busybox sh
# Runs in the initial file system: puts the project into the guest's root, goes there. @…@ is filled in by guests.py.
/bin/busybox mount -t devtmpfs devtmpfs /dev
echo "guest: up" >/dev/console
for module in @MODULES@; do /bin/busybox insmod /modules/$module.ko; done
while ! [ -b /dev/vdd ]; do /bin/busybox sleep 0.1; done
/bin/busybox mount -t ext4 /dev/vda /root
/bin/busybox tar -x -f /dev/vdb -C /root
/bin/busybox mount --move /dev /root/dev
exec /bin/busybox switch_root /root @TREE@/tests/kernels/inside.sh @TREE@ @VENV@ </dev/console >/dev/console 2>&1
