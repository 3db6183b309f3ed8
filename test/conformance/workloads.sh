# Work as users do it, in three parts: what is prepared and looked at on the side that has the files, and what is done
# on a mount of them.
#
# usage: workloads.sh prepare|fio|git|make|inspect DIRECTORY
set -e
sources=$(cd "$(dirname "$0")" && pwd)
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'

# 40 commits that each change 45 of 120 files in 12 directories: more than 2,000 objects.
history() {
  for commit in $(seq 40); do
    printf 'commit refs/heads/main\ncommitter Tester <tester@example.com> %s +0000\ndata 6\nchange\n' "$((1600000000 + commit))"
    for number in $(seq 45); do
      file=$(((commit * 37 + number * 2) % 120))
      text="file $file of commit $commit"
      printf 'M 100644 inline d%s/f%s\ndata %s\n%s\n' "$((file % 12))" "$file" "${#text}" "$text"
    done
  done
}

# 20 C files, each with three of ten headers that a script generates.
project() {
  mkdir -p project && cd project
  for number in $(seq 0 19); do
    for header in $((number % 10)) $(((number + 3) % 10)) $(((number + 7) % 10)); do echo "#include \"generated/h$header.h\""; done > f$number.c
    echo "int f$number(void) { return H$((number % 10)) + H$(((number + 3) % 10)) * $number; }" >> f$number.c
  done
  {
    for number in $(seq 0 19); do echo "int f$number(void);"; done
    printf '#include <stdio.h>\nint main(void) { int sum = 0;\n'
    for number in $(seq 0 19); do echo "sum += f$number();"; done
    echo 'return printf("%d\n", sum) < 0; }'
  } > main.c
  cat > Makefile <<'END'
objects := $(patsubst %.c,%.o,$(wildcard *.c))
headers := $(patsubst %,generated/h%.h,0 1 2 3 4 5 6 7 8 9)
program: $(objects)
	gcc -o $@ $^
$(objects): %.o: %.c $(headers)
	gcc -c -O0 -o $@ $<
generated/h%.h: generate.sh | generated
	sh generate.sh $* > $@.new && mv $@.new $@
generated:
	mkdir -p $@
END
  echo 'echo "#define H$1 $(($1 * $1 + 1))"' > generate.sh
  cd ..
}

part=$1
cd "$2"
case $part in
prepare)
  git init --quiet --bare repository.git
  git -C repository.git symbolic-ref HEAD refs/heads/main
  history | git -C repository.git fast-import --quiet
  project
  mkdir fio
  ;;
fio)
  cd fio
  fio --output=report "$sources/fio-jobs.ini" || { cat report; exit 1; }
  echo "fio: $(grep -c 'err= 0' report) jobs clean"
  ;;
git)
  git clone --quiet "file://$PWD/repository.git" clone
  git -C clone fsck --strict --no-progress
  git -C clone status --short
  echo "git: $(git -C clone rev-list --objects --all | wc -l) objects clean"
  ;;
make)
  cd project
  make --silent -j4
  test "$(make)" = "make: 'program' is up to date."
  touch generate.sh
  test "$(make --dry-run | grep -c generate.sh)" = 10
  make --silent -j4 generated/h1.h
  echo "make: $(./program) from $(ls ./*.o | wc -l) objects"
  ;;
inspect)
  cd fio
  fio --output=report-here --verify_only "$sources/fio-jobs.ini" || { cat report-here; exit 1; }
  echo "fio: $(grep -c 'err= 0' report-here) jobs clean"
  cd ..
  git -C clone fsck --strict --no-progress
  git -C clone status --short
  echo "git: $(git -C clone rev-list --objects --all | wc -l) objects clean"
  echo "make: $(project/program) from $(ls project/*.o | wc -l) objects"
  ;;
esac
