// The living descendants of this process, found in /proc. Used by the supervisor (supervisor.cc), so without
// memory allocation; proc_pid_stat(5).
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace cpu {

// Scans a /proc that was opened before the session's mounts could hide it. The `children` files are not used:
// few kernels have them, and they are exact only for stopped processes.
class Descendants {
 public:
  // Whether the descriptor shows this process's own PID namespace: numbers of another would name strangers.
  bool Open() {
    fd_ = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd_ < 0) return false;
    char target[16];
    ssize_t length = readlinkat(fd_, "self", target, sizeof target - 1);
    if (length < 0) return false;
    target[length] = '\0';
    errno = ENOENT;
    return atoi(target) == getpid();
  }

  // Sends a signal to every living descendant; returns their number.
  int Signal(int signal) {
    struct Entry {
      uint64_t inode;
      int64_t offset;
      uint16_t size;
      uint8_t type;
      char name[1];
    };
    alignas(Entry) char entries[8192];
    int count = 0;
    lseek(fd_, 0, SEEK_SET);
    for (;;) {
      long length = syscall(SYS_getdents64, fd_, entries, sizeof entries);
      if (length <= 0) return count;
      for (long at = 0; at < length;) {
        const Entry* entry = reinterpret_cast<const Entry*>(entries + at);
        at += entry->size;
        const char* name = reinterpret_cast<const char*>(entry) + offsetof(Entry, name);
        if (name[0] >= '1' && name[0] <= '9') count += SignalIfDescendant(name, signal);
      }
    }
  }

 private:
  // The directory stands for one process, even when its number has been given to another since.
  int SignalIfDescendant(const char* name, int signal) {
    int process = openat(fd_, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (process < 0) return 0;
    char state = 'Z';
    pid_t parent = Parent(process, "stat", &state);
    int found = state != 'Z' && state != 'X' && IsMine(parent) ? 1 : 0;
    if (found != 0) {
      long result = -1;
      errno = ENOSYS;
#ifdef SYS_pidfd_send_signal
      result = syscall(SYS_pidfd_send_signal, process, signal, nullptr, 0);
#endif
      if (result < 0 && errno == ENOSYS) kill(atoi(name), signal);
    }
    close(process);
    return found;
  }

  bool IsMine(pid_t parent) {
    pid_t self = getpid();
    for (int depth = 0; parent > 1 && depth < 10'000; depth++) {
      if (parent == self) return true;
      char path[32];
      char state;
      FormatStat(parent, path);
      parent = Parent(fd_, path, &state);
    }
    return false;
  }

  static void FormatStat(pid_t pid, char* path) {
    char digits[12];
    int length = 0;
    for (; pid > 0; pid /= 10) digits[length++] = static_cast<char>('0' + pid % 10);
    while (length > 0) *path++ = digits[--length];
    memcpy(path, "/stat", 6);
  }

  // "pid (comm) state ppid ..."; comm may contain anything, so its end is the last ')'.
  static pid_t Parent(int directory, const char* path, char* state) {
    int fd = openat(directory, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    char text[512];
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    if (length <= 0) return 0;
    text[length] = '\0';
    const char* end = strrchr(text, ')');
    if (end == nullptr || end[1] == '\0' || end[2] == '\0') return 0;
    *state = end[2];
    return atoi(end + 3);
  }

  int fd_ = -1;
};

}  // namespace cpu
