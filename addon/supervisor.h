// A session's processes: what spawn.cc hands to the supervisor, and what the supervisor says back.
//
//   cpud (many threads) --fork--> supervisor (never execs) --fork--> program (steps, then execve)
//
// Everything here is built before the first fork. After it only async-signal-safe calls are made, since
// another thread of cpud may have held any lock of the C library at that moment.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace cpu {

// Numbers shared with src/native/spawn-binding.ts.
enum Op : int32_t { kMount = 0, kMkdir = 1, kTouch = 2 };
enum OnFailure : int32_t { kAbort = 0, kReport = 1, kIgnore = 2 };
enum Stage : int32_t {
  kSetup,
  kNamespace,
  kFork,
  kStep,
  kTerminal,
  kCredentials,
  kChdir,
  kExec,
  kUserNamespace,
  kFuse,
};
enum Kind : int32_t {
  // From the supervisor.
  kStepFailed = 1,  // index, error; the session goes on
  kStarted = 2,     // value: process id of the program
  kFailed = 3,      // value: Stage, index (of a step), error; the supervisor ends
  kExited = 4,      // value: wait status, error: of the sync that followed, or 0
  kLeftover = 5,    // value: processes that could not be killed
  kUnshared = 6,    // in a user namespace that has no id maps yet; waits for kMapped
  kFuseMounted = 7,  // with the descriptor of /dev/fuse, which cpud then has alone
  // To the supervisor. The end of the connection means kEnd.
  kEnd = 16,
  kSignal = 17,  // value: signal number, for the program's process group
  kMapped = 18,  // the id maps are written
};

// One message of the control socket (SOCK_SEQPACKET).
struct Message {
  int32_t kind;
  int32_t value;
  int32_t index;
  int32_t error;
};

struct Step {
  Op op;
  OnFailure on_failure;
  std::string source, target, type, data;
  unsigned long flags;
  mode_t mode;
  size_t next;             // where to go on if this one fails
  bool mounts_connection;  // its data name the file connection
};

struct SpawnRequest {
  std::vector<Step> steps;
  bool mount_namespace = false;
  bool user_namespace = false;
  // The kernel's end of the file connection, closed when the steps are done.
  int file_connection = -1;
  // What file_connection shall be, opened in the session's namespaces; empty: it is there already.
  std::string fuse_device;
  int stdio[3] = {-1, -1, -1};
  bool controlling_terminal = false;
  bool has_credentials = false;
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;
  std::vector<std::string> arguments, environment, executables, directories;
  std::string sync_path;  // empty: nothing to sync
  // Null-terminated views of the above; shell_argv has a free place for the script at index 1.
  std::vector<char*> argv, shell_argv, envp;
};

// fork(2) itself: no handlers, no locks of the C library, so it may be called after a fork of many threads.
pid_t RawFork();

// Runs in the child, all signals blocked; `control` is its end of the control socket.
[[noreturn]] void RunSupervisor(const SpawnRequest& request, int control);

}  // namespace cpu
