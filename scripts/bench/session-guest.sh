# Runs in the guest as root of a small system of its own (chroot) with the guest's /dev and /proc in it: OpenSSH's
# server, and for each line on stdin the guest's caches dropped.
/usr/sbin/sshd -D -e -f /sshd_config 2>/log &
until [[ $(</log) == *listening* ]]; do
  kill -0 $! 2>/dev/null || { echo "sshd ended: $(</log)"; exit 1; }
  read -r -t 0.1 _ <>/waiting
done
echo ready
while read -r _; do
  sync
  echo 3 >/proc/sys/vm/drop_caches
  echo dropped
done
kill %1
