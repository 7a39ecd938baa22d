#!/bin/sh
# What an engine could do to its host, each attempt by itself; none of it may be seen outside.
# $1 is a folder of the host that was not named as writable.
mark=wireproof-attack
attempt() { sh -c "$1" 2>/dev/null && echo "did: $1" || echo "refused: $1"; }
attempt "echo x > $1/$mark"
attempt "echo x >> $1/there"
attempt "rm $1/removed"
attempt "echo x > /proc/self/fd/8/$mark"
attempt "echo x >&9"
for folder in /etc /usr /var/tmp /tmp /run /dev /dev/shm /root /home /var/lib ""; do
    attempt "echo x > $folder/$mark"
done
attempt "echo 1234 > /sys/class/net/eth0/mtu"
attempt "echo 1 > /sys/kernel/mm/ksm/pages_to_scan"
attempt "echo 12345 > /proc/sys/vm/min_free_kbytes"
attempt "echo $mark > /proc/sys/kernel/hostname"
attempt "echo 77 > /proc/sys/fs/inotify/max_user_instances"
attempt "echo 77 > /proc/sys/kernel/printk"
attempt "hostname $mark"
attempt "mount -o remount,rw /proc/sys && echo 12345 > /proc/sys/vm/min_free_kbytes"
attempt "umount /proc/sys"
attempt "umount -l /"
attempt "mount -t tmpfs none /mnt"
attempt "mount -t proc none /mnt && echo 12345 > /mnt/sys/vm/min_free_kbytes"
attempt "mount -t tmpfs none /"
attempt "mknod /tmp/disk b 254 0"
attempt "mknod /dev/mem2 c 1 1"
attempt "kill -9 1"
attempt "chroot /proc/1/root true"
attempt "dd if=/dev/zero of=/dev/shm/$mark bs=1M count=600"
# What forks away outlives this script, and the agent of no node waits for it.
setsid sleep 1001 >/dev/null 2>&1 &
yes "$mark fills its log" | head -c 40000000
