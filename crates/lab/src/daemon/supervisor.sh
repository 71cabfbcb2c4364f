# Process 1 of a private PID and mount namespace (see namespace.rs). Arguments: DIR ROOT.
# It ends, and with it every process in here, when its standard input does.
set -eu
dir=$1 root=$2
exec 3<&0

bind() { mount --no-mtab --bind "$dir/$1" "$root$2"; }
bind passwd /etc/passwd
bind group /etc/group
bind etc /etc/libvirt
bind run /run
bind lib /var/lib
bind cache /var/cache
bind log /var/log
if [ -n "$root" ]; then
    mount --no-mtab -t proc proc "$root/proc"
    mount --no-mtab --rbind /dev "$root/dev"
    mount --no-mtab --rbind /sys "$root/sys"
    mount --no-mtab -t tmpfs tmpfs "$root/tmp"
    mkdir -p "$root$dir"
    mount --no-mtab --bind "$dir" "$root$dir"
fi
echo ready

# Waiting in `wait` and not in `read` also reaps the guests that libvirtd leaves to process 1.
cat <&3 >/dev/null &
wait $! || true

tries=0
while kill -9 -1 2>/dev/null && [ $tries -lt 500 ]; do
    tries=$((tries + 1))
    sleep 0.01
done
# A directory on which something is mounted cannot be removed from in here.
mounted=$(cut -d ' ' -f 2 /proc/mounts)
for at in $mounted; do
    case $at in "$root$dir" | "$root$dir"/images/*) umount --no-mtab --lazy "$at" || true ;; esac
done
rm -rf -- "$dir"
