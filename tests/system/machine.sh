#!/bin/sh
# Starts a systemd of its own, in namespaces of its own, that runs one script as root and ends with it.
#
#     machine.sh FOLDER SCRIPT UNIT...    FOLDER: where the script's output goes; UNIT: files for /etc/systemd/system
#
# /etc, /run, /srv, /usr, /var and the journal are its own: whatever is done there is gone afterwards. It needs root, and
# is not for a host that was booted with systemd, whose control groups it would have to share.
# SPDX-License-Identifier: Apache-2.0
set -eu

case $1 in
    --inside)
        shift
        folder=$1 script=$2
        shift 2
        umount -l /sys/fs/cgroup
        if [ "$CGROUPS" = unified ]; then
            mount -t cgroup2 cgroup2 /sys/fs/cgroup
        else
            mount -t tmpfs tmpfs /sys/fs/cgroup
            mkdir /sys/fs/cgroup/systemd /sys/fs/cgroup/unified
            mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
            mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
        fi
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
esac

name=machine.$$
if [ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ]; then
    CGROUPS=unified group=/sys/fs/cgroup/$name
else
    CGROUPS=hybrid group=/sys/fs/cgroup/systemd/$name
fi
export CGROUPS
mkdir "$group"
(
    sh -c 'echo $PPID' >"$group/cgroup.procs"
    exec unshare --mount --pid --fork --cgroup --mount-proc --kill-child "$0" --inside "$@"
) && status=0 || status=$?
find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
exit "$status"
