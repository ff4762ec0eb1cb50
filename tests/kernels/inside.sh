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
export PYTHONPATH="$1/src"
uname -r >"$found/release"

asked() { sed -n "s/.*affidavit\.$1=\"\([^\"]*\)\".*/\1/p" /proc/cmdline; }
wanted=$(asked steps)
selected=$(asked select)
keep() { # What was found so far: a guest that is stopped later still shows it.
    flock /run/kept sh -c 'tar -c -C "$1" . >/dev/vdd; sync' keep "$found"
}
step() { # NAME SECONDS COMMAND…: its output and exit status are kept
    name=$1
    seconds=$2
    shift 2
    case ",$wanted," in *",$name,"*) ;; *) return ;; esac
    echo "guest: $name"
    # pytest writes its report where it is interrupted.
    timeout -s INT -k 60 "$seconds" "$@" >"$found/$name.out" 2>"$found/$name.err"
    echo $? >"$found/$name.status"
    keep
}
# A table takes an emulated processor an hour.
while sleep 60; do keep; done &
keeping=$!
step doctor 300 affidavit doctor --json
# An emulated processor is slow: the task's times are too short for it.
sed -i 's/^timeout_sec = .*/timeout_sec = 900.0/' examples/suite/sort-mail/task.toml
step task 3000 affidavit run examples/suite/sort-mail --agent oracle --runtime runc --recorder ebpf --out /tmp/run
for summary in /tmp/run/*/sort-mail/0/bundle/agent/summary.json; do
    [ -f "$summary" ] && cp "$summary" "$found/task.summary"
done
keep
for table in conformance evasion; do
    step "$table" 3000 python -m pytest -v -p no:cacheprovider --junitxml "$found/$table.xml" \
        -k "not gvisor and not page and ($selected)" "tests/$table"
done
dmesg >"$found/dmesg"
kill "$keeping"
keep
exec busybox poweroff -f
