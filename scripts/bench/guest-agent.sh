# Runs in the guest, once per way to reach the files, as long as the benchmark lasts: reads the name of a piece of work
# and the passes (cold, warm, both) per line, and answers "NAME COLD WARM CHECK": microseconds of the work with the
# guest's caches dropped, those of the same work again, and something by which the results of two ways can be compared.
# "-" is: not measured. Arguments: the directory of the files, their size in MiB, and for what is not mounted yet what
# mounts it.
#
# EPOCHREALTIME is the monotonic clock here: nobody sets this guest's clock after its boot.
data=$1 mebibytes=$2 mounting=${3-}
export LC_ALL=C PATH=/usr/bin:/usr/sbin:/bin HOME=/tmp
said=/tmp/said

find_work() { find "$data/tree" -path "$data/tree/.git" -prune -o -type f -size +0 -printf . >$said; }
find_check() { stat -c %s $said; }

# to a pipe: GNU tar does not read the files when the archive is /dev/null
tar_work() { tar --totals -C "$data/tree" --exclude=.git -cf - . 2>$said | cat >/dev/null; }
tar_check() { sed_total <$said; }
sed_total() { read -r _ _ _ bytes _; echo "$bytes"; }

read_work() { dd if="$data/big" of=/dev/null bs=1M 2>$said; }
read_check() { stat -c %s "$data/big"; }

write_drop() {
  sync
  [ -n "$KEEP_CACHES" ] || echo 3 >/proc/sys/vm/drop_caches
}

prepare() { rm -f "$data/written"; }
write_work() { dd if=/dev/zero of="$data/written" bs=1M count="$mebibytes" conv=fsync 2>$said; }
write_check() { stat -c %s "$data/written"; }

git_work() { git -c safe.directory='*' --no-optional-locks -C "$data/tree" status --porcelain >$said; }
git_check() { stat -c %s $said; }

python_work() {
  LD_LIBRARY_PATH=$data/python/lib PYTHONHOME=$data/python PYTHONDONTWRITEBYTECODE=1 \
    "$data/python/bin/python3" -c 'import asyncio, json, email; print(asyncio.__file__)' >$said
}
python_check() { read -r file <$said && echo "${file#"$data"}"; }

node_work() { LD_LIBRARY_PATH=$data/node/lib "$data/node/bin/node" -e 1; }
node_check() { stat -c %s "$data/node/bin/node"; }

make_prepare() { make -s -C "$data/project" clean; }
make_work() { make -s -C "$data/project" >$said 2>&1; }
make_check() { "$data/project/program"; }

# what sshfs itself keeps is not among the kernel's caches, and a tmpfs has no other copy
remount() {
  [ -n "$mounting" ] || return 0
  umount "$data" 2>/dev/null
  eval "$mounting"
}

drop() {
  sync
  [ -n "$KEEP_CACHES" ] || echo 3 >/proc/sys/vm/drop_caches
}

prepare() { if declare -F "$1_prepare" >/dev/null; then "$1_prepare"; fi; }

elapsed=
run() {
  local start=$EPOCHREALTIME
  if ! "$1_work"; then
    local words=$(<$said)
    echo "failed $1: ${words//$'\n'/ }"
    return 1
  fi
  local end=$EPOCHREALTIME
  elapsed=$((${end/./} - ${start/./}))
}

trap '[ -z "$mounting" ] || umount "$data"' EXIT
remount || { echo "failed mount"; exit 1; }
echo ready
while read -r name passes; do
  cold=- warm=-
  if [ "$passes" != warm ]; then
    remount
    prepare "$name"
    drop
    run "$name" || continue
    cold=$elapsed
  fi
  if [ "$passes" != cold ]; then
    prepare "$name"
    run "$name" || continue
    warm=$elapsed
  fi
  echo "$name $cold $warm $("$name"_check)"
done
