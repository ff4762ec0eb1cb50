#!/bin/sh
# The first process of a guest: arguments are the repository and the environment's folder. What it finds goes to the last disk.
set -u
export PATH=$2/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tracefs tracefs /sys/kernel/tracing
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
ln -sf /proc/self/fd /dev/fd
for stream in stdin:0 stdout:1 stderr:2; do ln -sf "/proc/self/fd/${stream#*:}" "/dev/${stream%:*}"; done
ip link set lo up
for module in overlay erofs loop veth nf_tables; do modprobe "$module"; done
mkdir -p "$2"
mount -t erofs -o ro /dev/vdc "$2"
cd "$1" || exit
found=/results
mkdir -p "$found"
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$1/src"
uname -r >"$found/release"

wanted=$(sed -n 's/.*affidavit\.steps=\([a-z,]*\).*/\1/p' /proc/cmdline)
step() { # NAME SECONDS COMMAND…: its output and exit status are kept
    name=$1
    seconds=$2
    shift 2
    case ",$wanted," in *",$name,"*) ;; *) return ;; esac
    echo "guest: $name"
    timeout -k 10 "$seconds" "$@" >"$found/$name.out" 2>"$found/$name.err"
    echo $? >"$found/$name.status"
}
step doctor 300 affidavit doctor --json
for table in conformance evasion; do
    step "$table" 3000 python -m pytest -q -p no:cacheprovider --junitxml "$found/$table.xml" \
        -k "not gvisor and not page" "tests/$table"
done
step task 600 affidavit run examples/suite/page-ranges --agent oracle --out /tmp/run
dmesg >"$found/dmesg"
tar -c -C "$found" . >/dev/vdd
sync
exec busybox poweroff -f
