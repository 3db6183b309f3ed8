// Single operations on files, one after the other, each behind a marker: a look for a file MARKER-name that is not
// there, which the server of the files sees; what follows a name with a dash is not counted. For
// test/e2e/requests.test.ts, in a directory that it prepares. Linked statically, so that nothing else is read.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

static char buffer[1 << 20];

static void Check(long result, const char *what) {
  if (result >= 0) return;
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static void Marker(const char *name) {
  char path[100];
  snprintf(path, sizeof path, "MARKER-%s", name);
  if (access(path, F_OK) == 0 || errno != ENOENT) Check(-1, path);
}

static void Read(const char *path, size_t size) {
  int fd = open(path, O_RDONLY);
  Check(fd, path);
  size_t done = 0;
  for (ssize_t n; done < size && (n = read(fd, buffer, size - done)) > 0;) done += (size_t)n;
  if (done != size) Check(-1, path);
  Check(close(fd), path);
}

static void Write(const char *path, int flags, size_t size) {
  int fd = open(path, O_WRONLY | flags, 0644);
  Check(fd, path);
  if (write(fd, buffer, size) != (ssize_t)size) Check(-1, path);
  Check(close(fd), path);
}

static void List(const char *path) {
  DIR *directory = opendir(path);
  if (directory == NULL) Check(-1, path);
  struct stat st;
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
    Check(fstatat(dirfd(directory), entry->d_name, &st, AT_SYMLINK_NOFOLLOW), entry->d_name);
  closedir(directory);
}

static void Execute(char *path) {
  pid_t pid = fork();
  Check(pid, "fork");
  if (pid == 0) {
    execv(path, (char *[]){path, NULL});
    _exit(127);
  }
  int status;
  Check(waitpid(pid, &status, 0), "waitpid");
  if (status != 0) Check(-1, path);
}

static void Lock(const char *path) {
  int fd = open(path, O_RDWR);
  Check(fd, path);
  Marker("lock and unlock");
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  Check(fcntl(fd, F_SETLKW, &lock), "lock");
  lock.l_type = F_UNLCK;
  Check(fcntl(fd, F_SETLK, &lock), "unlock");
  Marker("-close");
  close(fd);
}

static void Map(const char *path, size_t size) {
  int fd = open(path, O_RDONLY);
  Check(fd, path);
  const volatile char *view = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (view == MAP_FAILED) Check(-1, path);
  for (size_t at = 0; at < size; at += 4096) (void)view[at];
  close(fd);
}

int main(int count, char **arguments) {
  if (count > 1) Check(chdir(arguments[1]), arguments[1]);
  struct stat st;
  struct statfs fs;
  struct timespec times[2] = {{1000, 0}, {2000, 0}};
  char target[100];
  Marker("stat a file");
  Check(stat("file", &st), "stat");
  Marker("stat it again");
  Check(stat("file", &st), "stat");
  Marker("stat a file below");
  Check(stat("directory/file", &st), "stat");
  Marker("stat a missing file");
  if (stat("missing", &st) == 0) return 1;
  Marker("stat a missing file below");
  if (stat("directory/missing", &st) == 0) return 1;
  Marker("open, read, close");
  Read("file", 100);
  Marker("open, read, close again");
  Read("file", 100);
  Marker("open, read, close below");
  Read("directory/file", 100);
  Marker("read 1 MiB");
  Read("large", sizeof buffer);
  Marker("read 1 MiB again");
  Read("large", sizeof buffer);
  Marker("map and read 1 MiB");
  Map("large", sizeof buffer);
  Marker("create, write, close");
  Write("new", O_CREAT | O_EXCL, 100);
  Marker("append");
  Write("new", O_APPEND, 100);
  Marker("truncate and rewrite");
  Write("new", O_TRUNC, 100);
  Marker("write 1 MiB");
  Write("new-large", O_CREAT | O_EXCL, sizeof buffer);
  Marker("list 20 entries with lstat");
  List("twenty");
  Marker("list them again");
  List("twenty");
  Marker("rename");
  Check(rename("new", "renamed"), "rename");
  Marker("link");
  Check(link("renamed", "linked"), "link");
  Marker("unlink");
  Check(unlink("linked"), "unlink");
  Marker("mkdir");
  Check(mkdir("made", 0755), "mkdir");
  Marker("rmdir");
  Check(rmdir("made"), "rmdir");
  Marker("symlink");
  Check(symlink("file", "symbolic"), "symlink");
  Marker("readlink");
  Check(readlink("symbolic", target, sizeof target), "readlink");
  Marker("stat through a link");
  Check(stat("symbolic", &st), "stat");
  Marker("mkfifo");
  Check(mkfifo("fifo", 0644), "mkfifo");
  Marker("chmod");
  Check(chmod("file", 0600), "chmod");
  Marker("set times");
  Check(utimensat(AT_FDCWD, "file", times, 0), "utimensat");
  Marker("truncate");
  Check(truncate("renamed", 10), "truncate");
  Marker("statfs");
  Check(statfs("file", &fs), "statfs");
  Marker("-open");
  Lock("file");
  Marker("run a program of 1 MB");
  Execute("./nothing");
  Marker("run it again");
  Execute("./nothing");
  Marker("-end");
  return 0;
}
