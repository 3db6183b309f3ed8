// The two processes of a session on this side of execve (see supervisor.h).
//
// The program's process walks the steps of the plan and then becomes the program; its failures come to the
// supervisor through a close-on-exec pipe. The supervisor never blocks but in poll(2), whatever a mount or a
// sync is waiting for: it reaps what is orphaned, passes on signals, reports how the program ended, keeps the
// namespaces, and kills every descendant when cpud says so or is gone. Before it has a child it also waits for
// cpud to write the id maps of a user namespace.
#include "supervisor.h"

#include <poll.h>
#include <sched.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <ctime>

#include "descendants.h"
#include "program.h"

namespace cpu {

pid_t RawFork() { return static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)); }

namespace {

constexpr int64_t kKillTimeoutMs = 10'000;
// How often descendants are looked for while some are still dying.
constexpr int kKillIntervalMs = 20;

void DefaultSignals() {
  struct sigaction action = {};
  action.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; signal++) sigaction(signal, &action, nullptr);
}

int64_t NowMs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1'000'000;
}

class Supervisor {
 public:
  Supervisor(const SpawnRequest& request, int control) : request_(request), control_(control) {}

  [[noreturn]] void Run() {
    Prepare();
    StartProgram();
    for (;;) {
      pollfd watched[] = {{status_, POLLIN, 0}, {signals_, POLLIN, 0}, {control_, POLLIN, 0}};
      if (poll(watched, 3, -1) < 0) continue;
      if (watched[0].revents != 0) ForwardStatus();
      if (watched[1].revents != 0) Reap();
      if (watched[2].revents != 0) Obey();
    }
  }

 private:
  void Send(const Message& message) {
    while (send(control_, &message, sizeof message, MSG_NOSIGNAL) < 0 && errno == EINTR) continue;
  }

  [[noreturn]] void Fail(Stage stage, int error) {
    Send({kFailed, stage, -1, error});
    _exit(0);
  }

  void Prepare() {
    CloseAllExcept(
        0, {control_, request_.file_connection, request_.stdio[0], request_.stdio[1], request_.stdio[2]});
    DefaultSignals();
    // Out of cpud's process group, and of the reach of its terminal.
    setsid();
    prctl(PR_SET_NAME, "cpud: session");
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    // cpud's end does not block; this one may, rather than lose a message.
    fcntl(control_, F_SETFL, 0);
    if (!descendants_.Open()) Fail(kSetup, errno);
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    signals_ = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals_ < 0) Fail(kSetup, errno);
    EnterNamespaces();
    OpenFuse();
  }

  // Both at once: the mount namespace then belongs to the user namespace, and may be changed there.
  void EnterNamespaces() {
    const int user = request_.user_namespace ? CLONE_NEWUSER : 0;
    const int mounts = request_.mount_namespace ? CLONE_NEWNS : 0;
    if (user + mounts == 0) return;
    if (unshare(user | mounts) < 0) Fail(user != 0 ? kUserNamespace : kNamespace, errno);
    if (user != 0) AwaitIdMaps();
    if (mounts == 0) return;
    if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0) Fail(kNamespace, errno);
  }

  // cpud writes them: newuidmap(1) has to be run outside.
  void AwaitIdMaps() {
    // Or the files to be written would belong to root (proc_pid(5)), if cpud ever changed its user.
    prctl(PR_SET_DUMPABLE, 1);
    Send({kUnshared, 0, -1, 0});
    Message answer = {kEnd, 0, -1, 0};
    do {
      ssize_t length = recv(control_, &answer, sizeof answer, 0);
      if (length < 0 && errno == EINTR) continue;
      if (length <= 0 || answer.kind == kEnd) End();
    } while (answer.kind != kMapped);
    // cpud's memory is here too, keys included, and a program that is root inside could read it.
    prctl(PR_SET_DUMPABLE, 0);
  }

  // The kernel takes a connection only from the user namespace that mounts it. Its number stands in the data
  // of a step, made before the fork; until now another file has kept it.
  void OpenFuse() {
    if (request_.fuse_device.empty()) return;
    int fd = open(request_.fuse_device.c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0 || dup3(fd, request_.file_connection, O_CLOEXEC) < 0) Fail(kFuse, errno);
    close(fd);
    fuse_ = request_.file_connection;
  }

  void StartProgram() {
    int status[2];
    if (pipe2(status, O_CLOEXEC) < 0) Fail(kSetup, errno);
    fcntl(status[0], F_SETFL, O_NONBLOCK);
    pid_t self = getpid();
    program_ = RawFork();
    if (program_ == 0) Program(request_, status[1]).Run(self);
    if (program_ < 0) Fail(kFork, errno);
    status_ = status[0];
    // The ends of the program and of the kernel: held here, they would never look closed to cpud.
    close(status[1]);
    for (int fd : request_.stdio) close(fd);
    if (fuse_ < 0) close(request_.file_connection);
  }

  // Not before it is mounted: until then reading from it fails. Kept here, it would never look closed.
  void HandOverFuse(const Message& message) {
    if (fuse_ < 0) return;
    alignas(cmsghdr) char ancillary[CMSG_SPACE(sizeof fuse_)] = {};
    iovec data = {const_cast<Message*>(&message), sizeof message};
    msghdr header = {};
    header.msg_iov = &data;
    header.msg_iovlen = 1;
    header.msg_control = ancillary;
    header.msg_controllen = sizeof ancillary;
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof fuse_);
    memcpy(CMSG_DATA(rights), &fuse_, sizeof fuse_);
    while (sendmsg(control_, &header, MSG_NOSIGNAL) < 0 && errno == EINTR) continue;
    CloseFuse();
  }

  void CloseFuse() {
    if (fuse_ >= 0) close(fuse_);
    fuse_ = -1;
  }

  // The pipe is closed by a successful execve.
  void ForwardStatus() {
    for (;;) {
      Message message;
      ssize_t length = read(status_, &message, sizeof message);
      if (length < 0 && errno == EINTR) continue;
      if (length < 0) return;
      if (length == 0) break;
      if (message.kind == kFailed) failed_ = true;
      if (message.kind == kFuseMounted)
        HandOverFuse(message);
      else
        Send(message);
    }
    CloseFuse();
    close(status_);
    status_ = -1;
    if (!failed_ && !ending_) Send({kStarted, program_, -1, 0});
  }

  // Returns false when there is no child left, and so no descendant.
  bool Reap() {
    signalfd_siginfo ignored;
    while (read(signals_, &ignored, sizeof ignored) > 0) continue;
    for (;;) {
      int status;
      pid_t pid = waitpid(-1, &status, WNOHANG | __WALL);
      if (pid == 0) return true;
      if (pid < 0) return errno != ECHILD;
      if (pid == program_) ProgramEnded(status);
      if (pid == syncer_) ReportExit(WIFEXITED(status) ? WEXITSTATUS(status) : EINTR);
    }
  }

  void ProgramEnded(int status) {
    if (status_ >= 0) ForwardStatus();
    program_ = -1;
    exit_status_ = status;
    if (failed_) {
      if (!ending_) End();
      return;
    }
    if (ending_ || request_.sync_path.empty()) return ReportExit(0);
    StartSync();
  }

  // In a process of its own, since a file server that is gone may block it for long.
  void StartSync() {
    syncer_ = RawFork();
    if (syncer_ < 0) return ReportExit(errno);
    if (syncer_ > 0) return;
    int fd = open(request_.sync_path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _exit(fd < 0 || syncfs(fd) < 0 ? errno : 0);
  }

  void ReportExit(int sync_error) {
    syncer_ = -1;
    reported_ = true;
    Send({kExited, exit_status_, -1, sync_error});
  }

  void Obey() {
    Message message = {kEnd, 0, -1, 0};
    ssize_t length = recv(control_, &message, sizeof message, MSG_DONTWAIT);
    if (length < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (length <= 0 || message.kind == kEnd) End();
    if (message.kind == kSignal && program_ > 0) SignalProgram(message.value);
  }

  // The number cannot belong to another process: the program is reaped here and nowhere else.
  void SignalProgram(int signal) {
    kill(-program_, signal);
    if (signal == SIGTERM || signal == SIGHUP) kill(-program_, SIGCONT);
  }

  [[noreturn]] void End() {
    ending_ = true;
    KillDescendants();
    if (!reported_ && !failed_) ReportExit(0);
    _exit(0);
  }

  // Stopped first, so that none reacts to the death of another by starting a third.
  void KillDescendants() {
    int64_t deadline = NowMs() + kKillTimeoutMs;
    while (Reap()) {
      descendants_.Signal(SIGSTOP);
      int left = descendants_.Signal(SIGKILL);
      if (NowMs() >= deadline) return Send({kLeftover, left, -1, 0});
      pollfd death = {signals_, POLLIN, 0};
      poll(&death, 1, kKillIntervalMs);
    }
  }

  const SpawnRequest& request_;
  Descendants descendants_;
  int control_;
  int signals_ = -1;
  int status_ = -1;
  int fuse_ = -1;
  pid_t program_ = -1;
  pid_t syncer_ = -1;
  int exit_status_ = SIGKILL;
  bool failed_ = false;
  bool ending_ = false;
  bool reported_ = false;
};

}  // namespace

void RunSupervisor(const SpawnRequest& request, int control) { Supervisor(request, control).Run(); }

}  // namespace cpu
