# Process 1 of a cage (see mod.rs). Arguments: DIR SOURCE SPACE INODES LIFETIME.
# It ends, and with it every process in here, when its standard input does or its time is up.
set -eu
dir=$1 source=$2 space=$3 inodes=$4 lifetime=$5
# What is left of DIR outside has to be removed in the end, when it has no path in here any more.
exec 3<&0 4<"${dir%/*}"

echo cage >/proc/sys/kernel/hostname
# Without this program there is no network at all, which is as good.
ip link set lo up 2>/dev/null || true

# Neither shall leave notes in /run.
mount() { command mount --no-mtab "$@"; }
umount() { command umount --no-mtab "$@"; }
show() { # FROM TO: for reading only
    mount --bind "$1" "$2"
    mount -o remount,bind,ro,nosuid,nodev "$2"
}

cd "$dir/root"
mount -t tmpfs -o mode=755,size=1m,nosuid,nodev,noexec cage .
cd "$dir/root"
mkdir -p usr etc/libvirt proc sys dev/pts dev/shm var/lib var/cache var/log run cage old
show "$source/usr" usr
for name in bin sbin lib lib32 lib64 libx32; do
    if [ -L "$source/$name" ]; then
        cp -P "$source/$name" .
    elif [ -d "$source/$name" ]; then
        mkdir "$name"
        show "$source/$name" "$name"
    fi
done
for name in ld.so.cache nsswitch.conf; do
    [ ! -f "$source/etc/$name" ] || cp "$source/etc/$name" etc
done
cp "$dir/passwd" "$dir/group" etc
ln -s cage/tmp tmp
ln -s ../cage/tmp var/tmp

for name in null zero full random urandom; do
    : >"dev/$name"
    mount --bind "/dev/$name" "dev/$name"
    # Writing to the device is still possible, changing its file is not.
    mount -o remount,bind,ro,nosuid,noexec "dev/$name"
done
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,nosuid,noexec cage dev/pts
mount -t tmpfs -o mode=1777,size=16m,nosuid,nodev,noexec cage dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd

mount -t sysfs -o ro,nosuid,nodev,noexec cage sys
mount -t tmpfs -o "mode=755,size=$space,nr_inodes=$inodes,nosuid,nodev,noexec" cage cage
cp -a "$dir/area/." cage
mount -t proc -o ro,nosuid,nodev,noexec,hidepid=2 cage proc

pivot_root . old
cd /
umount -l /old
rmdir /old
mount -o remount,ro /
echo ready

# Waiting in `wait` and not in `timeout` also reaps what the daemon leaves to process 1.
timeout "$lifetime" cat <&3 >/dev/null &
wait $! || true

tries=0
while kill -9 -1 2>/dev/null && [ $tries -lt 500 ]; do
    tries=$((tries + 1))
    sleep 0.01
done
rm -rf -- "/proc/self/fd/4/${dir##*/}"
