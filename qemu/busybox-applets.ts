// The programs of a guest that has none of the user's: applets of Debian's busybox-static.

export const APPLETS: readonly string[] = `
ar ash awk base64 basename blockdev bunzip2 bzcat cat chgrp chmod chown chroot clear cmp cp cpio cut date dc dd depmod df
diff dirname dmesg du echo egrep env expand expr factor false fgrep find fold free fstrim getopt grep groups gunzip gzip
head hexdump hostname id ifconfig insmod ionice ip kill killall less ln logger losetup ls lsmod md5sum mkdir mkfifo mknod
mktemp modinfo modprobe more mount mv nc netstat nl nproc nsenter nslookup od paste patch pidof ping
pivot_root printf ps pwd readlink realpath renice reset rev rm rmdir rmmod route sed seq setsid sh sha1sum sha256sum
sha512sum shred shuf sleep sort stat strings stty swapoff swapon sync sysctl tac tail tar taskset tee test time timeout
top touch tr truncate tty umount uname uniq unlink unshare unxz unzip uptime usleep vi watch wc wget which whoami xargs
xxd xz xzcat yes zcat
`
  .trim()
  .split(/\s+/)
