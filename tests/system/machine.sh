#!/bin/sh
# Starts a systemd of its own, in namespaces of its own.
#
#     machine.sh FOLDER SCRIPT UNIT...    runs one script as root in this Debian, and ends with it. FOLDER: where the
#                                         script's output goes; UNIT: files for /etc/systemd/system
#     machine.sh --boot ROOT PIDFILE      boots the Debian that is mounted at ROOT, with a network of its own, until the
#                                         process whose number is in PIDFILE, its systemd, is killed
#
# In the first form /etc, /run, /srv, /usr, /var and the journal are its own: whatever is done there is gone afterwards. It
# needs root, and is not for a host that was booted with systemd, whose control groups it would have to share.
# SPDX-License-Identifier: Apache-2.0
set -eu

mount_cgroups() {
    if [ "$CGROUPS" = unified ]; then
        mount -t cgroup2 cgroup2 "$1"
    else
        mount -t tmpfs tmpfs "$1"
        mkdir "$1/systemd" "$1/unified"
        mount -t cgroup -o none,name=systemd cgroup "$1/systemd"
        mount -t cgroup2 cgroup2 "$1/unified"
    fi
}

case $1 in
    --inside)
        shift
        folder=$1 script=$2
        shift 2
        umount -l /sys/fs/cgroup
        mount_cgroups /sys/fs/cgroup
        for place in /run /srv; do
            mount -t tmpfs tmpfs "$place"
        done
        for place in etc usr var; do
            mkdir -p "/run/upper/$place" "/run/scratch/$place"
            mount -t overlay overlay -o "lowerdir=/$place,upperdir=/run/upper/$place,workdir=/run/scratch/$place" "/$place"
        done
        mkdir -p /var/log/journal
        mount -t tmpfs tmpfs /var/log/journal
        mkdir -p /run/log/journal
        chgrp systemd-journal /run/log/journal # as tmpfiles.d/systemd.conf does it
        chmod 2755 /run/log/journal
        mkdir -p /run/systemd/system /run/lock
        mount -t tmpfs tmpfs /etc/systemd/system
        [ $# -eq 0 ] || cp "$@" /etc/systemd/system/
        mkdir /etc/systemd/system/systemd-journald.service.d
        printf '[Unit]\nDefaultDependencies=no\nRequires=\nWants=\n' \
            >/etc/systemd/system/systemd-journald.service.d/alone.conf
        cat >/etc/systemd/system/machine.target <<'UNIT'
[Unit]
DefaultDependencies=no
Requires=systemd-journald.service machine.service
UNIT
        cat >/etc/systemd/system/machine.service <<UNIT
[Unit]
DefaultDependencies=no
After=systemd-journald.service
[Service]
Type=oneshot
StandardOutput=append:$folder/out
StandardError=append:$folder/out
Environment=PYTHONDONTWRITEBYTECODE=1
ExecStart=$script $folder
ExecStopPost=systemctl --no-block exit
UNIT
        exec env container=machine /lib/systemd/systemd --system --unit=machine.target --show-status=0 --log-level=info
        ;;
    --boot-inside)
        read -r pid rest </proc/self/stat # as it is outside: /proc is still the host's
        cd "$2"
        mount -t proc proc proc
        mount --bind /dev/null proc/kmsg # the kernel's messages are the host's
        mount -t sysfs -o ro sysfs sys
        mount_cgroups sys/fs/cgroup
        mount -t tmpfs -o mode=755 tmpfs run
        mount -t tmpfs -o mode=755 tmpfs dev
        for device in null zero full random urandom tty; do
            touch "dev/$device"
            mount --bind "/dev/$device" "dev/$device"
        done
        mkdir dev/pts dev/shm
        mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts dev/pts
        mount -t tmpfs tmpfs dev/shm
        ln -s pts/ptmx dev/ptmx
        ln -s /proc/self/fd dev/fd
        ip link set lo up
        echo "$pid" >"$3"
        pivot_root . mnt
        umount -l /mnt
        exec env -i container=machine /lib/systemd/systemd --system
        ;;
esac

if [ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ]; then
    CGROUPS=unified group=/sys/fs/cgroup
else
    CGROUPS=hybrid group=/sys/fs/cgroup/systemd
fi
export CGROUPS
group=$(mktemp -d "$group/machine.XXXXXX") # $$ may be that of another one, in another namespace
(
    sh -c 'echo $PPID' >"$group/cgroup.procs"
    case $1 in
        --boot) exec unshare --mount --pid --net --uts --ipc --fork --cgroup --kill-child "$0" --boot-inside "$2" "$3" ;;
        *) exec unshare --mount --pid --fork --cgroup --mount-proc --kill-child "$0" --inside "$@" ;;
    esac
) && status=0 || status=$?
find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
exit "$status"
