// The process of a session's program up to execve: steps, descriptors, terminal, credentials, directory.
// Run by the supervisor (supervisor.cc) in a child of its own; failures are told through a close-on-exec pipe.
#pragma once

#include "supervisor.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>

namespace cpu {

inline void CloseRange(int first, int last) {
  if (first > last) return;
#ifdef SYS_close_range
  if (syscall(SYS_close_range, first, last, 0) == 0) return;
#endif
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur <= static_cast<rlim_t>(last)) {
    last = static_cast<int>(limit.rlim_cur) - 1;
  }
  for (int fd = first; fd <= last; fd++) close(fd);
}

// Closes every descriptor from `first` on that is not in `keep`.
template <size_t N>
inline void CloseAllExcept(int first, const int (&keep)[N]) {
  for (;;) {
    int next = INT_MAX;
    for (int fd : keep) {
      if (fd >= first && fd < next) next = fd;
    }
    CloseRange(first, next == INT_MAX ? INT_MAX : next - 1);
    if (next == INT_MAX) return;
    first = next + 1;
  }
}

// Each step returns 0 or an errno.

inline int MakeParents(const char* path) {
  char parent[PATH_MAX];
  size_t length = strlen(path);
  if (length >= sizeof parent) return ENAMETOOLONG;
  memcpy(parent, path, length + 1);
  for (char* slash = strchr(parent + 1, '/'); slash != nullptr; slash = strchr(slash + 1, '/')) {
    *slash = '\0';
    if (mkdir(parent, 0755) < 0 && errno != EEXIST) return errno;
    *slash = '/';
  }
  return 0;
}

inline int MakeDirectory(const char* path, mode_t mode) {
  if (int error = MakeParents(path)) return error;
  if (mkdir(path, mode) == 0) return 0;
  if (errno != EEXIST) return errno;
  // A file will do as well: it is what a file is bound to. mount(2) says whether the two go together.
  struct stat found;
  return stat(path, &found) < 0 ? errno : 0;
}

inline int TouchFile(const char* path) {
  if (int error = MakeParents(path)) return error;
  // O_EXCL: what is there already, perhaps a device, is not opened.
  int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
  if (fd < 0) return errno == EEXIST ? 0 : errno;
  close(fd);
  return 0;
}

inline int Take(const Step& step) {
  const char* target = step.target.c_str();
  if (step.op == kMkdir) return MakeDirectory(target, step.mode);
  if (step.op == kTouch) return TouchFile(target);
  const char* type = step.type.empty() ? nullptr : step.type.c_str();
  const char* data = step.data.empty() ? nullptr : step.data.c_str();
  return mount(step.source.c_str(), target, type, step.flags, data) < 0 ? errno : 0;
}

// An ordinary user may not lift flags that a mount had before his namespace was made, and a remount that does
// not name them would (mount_namespaces(7)).
inline int TakeKeepingFlags(const Step& step) {
  constexpr unsigned long kLockable = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
  constexpr unsigned long kOfBind = MS_REMOUNT | MS_BIND;
  struct statfs found;
  if ((step.flags & kOfBind) != kOfBind || statfs(step.target.c_str(), &found) < 0) return EPERM;
  // ST_RDONLY and so on are the same bits.
  unsigned long flags = step.flags | (static_cast<unsigned long>(found.f_flags) & kLockable);
  return mount(nullptr, step.target.c_str(), nullptr, flags, nullptr) < 0 ? errno : 0;
}

// Descriptors are moved out of the way of 0, 1 and 2 to here.
constexpr int kFirstMoved = 10;

class Program {
 public:
  // `status` is the writing end of the pipe.
  Program(const SpawnRequest& request, int status) : request_(request), status_(status) {}

  [[noreturn]] void Run(pid_t supervisor) {
    DieWithSupervisor(supervisor);
    setsid();
    TakeSteps();
    ConnectStdio();
    if (request_.controlling_terminal && ioctl(0, TIOCSCTTY, 0) < 0) Fail(kTerminal, errno);
    TakeCredentials();
    // Changing credentials clears it.
    DieWithSupervisor(supervisor);
    ChangeDirectory();
    umask(022);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    Fail(kExec, Execute());
  }

 private:
  void Tell(const Message& message) {
    while (write(status_, &message, sizeof message) < 0 && errno == EINTR) continue;
  }

  [[noreturn]] void Fail(Stage stage, int error, int index = -1) {
    Tell({kFailed, stage, index, error});
    _exit(127);
  }

  void DieWithSupervisor(pid_t supervisor) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != supervisor) _exit(127);
  }

  void TakeSteps() {
    umask(0);
    for (size_t i = 0; i < request_.steps.size();) {
      const Step& step = request_.steps[i];
      int error = Take(step);
      if (error == EPERM && step.op == kMount && request_.user_namespace) error = TakeKeepingFlags(step);
      if (error != 0 && step.on_failure == kAbort) Fail(kStep, error, static_cast<int>(i));
      if (error != 0 && step.on_failure == kReport) Tell({kStepFailed, 0, static_cast<int>(i), error});
      if (error == 0 && step.mounts_connection) HandOverFuse();
      i = error == 0 ? i + 1 : step.next;
    }
  }

  // The steps that follow may want what is on it, so it is cpud's to answer from now on, and only cpud's.
  void HandOverFuse() {
    if (request_.fuse_device.empty()) return;
    Tell({kFuseMounted, 0, -1, 0});
    close(request_.file_connection);
  }

  // Leaves 0, 1, 2 and the status pipe open, and nothing else.
  void ConnectStdio() {
    int moved[3];
    status_ = fcntl(status_, F_DUPFD_CLOEXEC, kFirstMoved);
    for (int i = 0; i < 3; i++) moved[i] = fcntl(request_.stdio[i], F_DUPFD_CLOEXEC, kFirstMoved);
    for (int i = 0; i < 3; i++) {
      if (dup2(moved[i], i) < 0) Fail(kSetup, errno);
      // Programs expect blocking descriptors; cpud's ends are open file descriptions of their own.
      int flags = fcntl(i, F_GETFL);
      if (flags >= 0 && (flags & O_NONBLOCK) != 0) fcntl(i, F_SETFL, flags & ~O_NONBLOCK);
    }
    CloseAllExcept(3, {status_});
  }

  // System calls, not the C library's functions: those would signal threads that did not survive the fork.
  void TakeCredentials() {
    if (!request_.has_credentials) return;
    if (syscall(SYS_setgroups, request_.groups.size(), request_.groups.data()) < 0 ||
        syscall(SYS_setresgid, request_.gid, request_.gid, request_.gid) < 0 ||
        syscall(SYS_setresuid, request_.uid, request_.uid, request_.uid) < 0) {
      Fail(kCredentials, errno);
    }
  }

  void ChangeDirectory() {
    int first_error = 0;
    for (const std::string& directory : request_.directories) {
      if (chdir(directory.c_str()) == 0) return;
      if (first_error == 0) first_error = errno;
    }
    if (first_error != 0) Fail(kChdir, first_error);
  }

  // As execvp(3) goes through PATH. Returns the errno to report.
  int Execute() {
    bool denied = false;
    int error = ENOENT;
    for (const std::string& executable : request_.executables) {
      execve(executable.c_str(), request_.argv.data(), request_.envp.data());
      if (errno == ENOEXEC) {
        char** argv = const_cast<char**>(request_.shell_argv.data());
        argv[1] = const_cast<char*>(executable.c_str());
        execve(argv[0], argv, request_.envp.data());
      }
      error = errno;
      // A directory of PATH that is closed to this user has no such program, as in sh.
      const bool in_path = request_.executables.size() > 1;
      if (error == EACCES && in_path && access(executable.c_str(), F_OK) < 0) error = ENOENT;
      if (error == EACCES) denied = true;
      bool next = error == EACCES || error == ENOENT || error == ENOTDIR || error == ESTALE ||
                  error == ENODEV || error == ETIMEDOUT;
      if (!next) return error;
    }
    return denied ? EACCES : error;
  }

  const SpawnRequest& request_;
  int status_;
};

}  // namespace cpu
