// The load generator of `npm run bench`: one program that does the same work through any 9P2000.L server on a unix
// socket, with a number of requests outstanding, or with plain system calls. server-table.ts compiles and runs it.
//
//   load SOCKET|local TREE WORK DEPTH MSIZE SECONDS
//
// TREE is the name to attach to, or the directory for `local`; server-table.ts says what is in it. Prints operations,
// seconds, bytes read or written, and the msize that the server granted. A reply of the wrong type or with wrong contents ends it
// with exit code 1.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
  kRlerror = 7, kTlopen = 12, kTlcreate = 14, kTgetattr = 24, kTreaddir = 40, kTversion = 100, kTattach = 104,
  kTwalk = 110, kTread = 116, kTwrite = 118, kTclunk = 120, kTremove = 122,
};

// What server-table.ts put into the tree.
enum { kFiles = 1000, kListed = 10000, kDataBytes = 64 << 20, kBlock = 4096 };

// P9_IOHDRSZ, which Linux keeps free in a message.
enum { kIoHeader = 24, kHeader = 7 };

enum { kMaxDepth = 256, kRootFid = 0, kWorkFid = 1, kFirstFid = 16 };

static void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("load: ", stderr);
  vfprintf(stderr, format, arguments);
  fputs("\n", stderr);
  exit(1);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec * 1e-9;
}

// xorshift64: the same sequence for every server.
static uint32_t below(uint32_t bound) {
  static uint64_t state = 88172645463325252u;
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (uint32_t)((state >> 16) % bound);
}

static uint32_t msize;
static unsigned depth;
static uint64_t operations;
static uint64_t bytes_moved;

// ---- messages ----

struct Out {
  uint8_t *start;
  uint8_t *at;
};

static void put(struct Out *out, const void *data, size_t length) {
  memcpy(out->at, data, length);
  out->at += length;
}
static void put8(struct Out *out, uint8_t value) { put(out, &value, 1); }
static void put16(struct Out *out, uint16_t value) { put(out, &value, 2); }
static void put32(struct Out *out, uint32_t value) { put(out, &value, 4); }
static void put64(struct Out *out, uint64_t value) { put(out, &value, 8); }
static void put_text(struct Out *out, const char *text) {
  put16(out, strlen(text));
  put(out, text, strlen(text));
}

static void begin(struct Out *out, uint8_t *at, uint8_t type, uint16_t tag) {
  out->start = out->at = at;
  put32(out, 0);
  put8(out, type);
  put16(out, tag);
}

static uint8_t *end(struct Out *out) {
  uint32_t size = out->at - out->start;
  memcpy(out->start, &size, 4);
  return out->at;
}

static uint32_t get32(const uint8_t *at) {
  uint32_t value;
  memcpy(&value, at, 4);
  return value;
}
static uint64_t get64(const uint8_t *at) {
  uint64_t value;
  memcpy(&value, at, 8);
  return value;
}

// ---- works ----

// One of `depth` sequences of requests, with one of them under way. Its tag is its index.
struct Slot {
  uint16_t tag;
  uint8_t type;
  unsigned step;
  uint32_t fid;
  uint64_t offset;
  uint32_t count;
  char name[32];
};

struct Work {
  const char *name;
  // The directory or file that kWorkFid is, and how it is opened; -1 if it is not.
  const char *subject;
  int flags;
  // Writes the request of the slot's step.
  void (*request)(struct Slot *slot, struct Out *out);
  // Checks the reply and moves on; whether that was the last step.
  bool (*reply)(struct Slot *slot, const uint8_t *body, size_t length);
  // The same with system calls, once; `fd` is the subject.
  void (*local)(int fd, uint8_t *buffer);
};

static void start(struct Slot *slot, struct Out *out, uint8_t type) {
  slot->type = type;
  begin(out, out->at, type, slot->tag);
}

static void walk(struct Slot *slot, struct Out *out, const char *name) {
  start(slot, out, kTwalk);
  put32(out, kWorkFid);
  put32(out, slot->fid);
  put16(out, name == NULL ? 0 : 1);
  if (name != NULL) put_text(out, name);
}

static void fid_only(struct Slot *slot, struct Out *out, uint8_t type) {
  start(slot, out, type);
  put32(out, slot->fid);
}

static const char *some_file(void) {
  static char name[32];
  snprintf(name, sizeof name, "file-%u", below(kFiles));
  return name;
}

static void stat_request(struct Slot *slot, struct Out *out) {
  if (slot->step == 0) {
    walk(slot, out, some_file());
  } else if (slot->step == 1) {
    fid_only(slot, out, kTgetattr);
    put64(out, 0x17ff);
  } else {
    fid_only(slot, out, kTclunk);
  }
}

static bool stat_reply(struct Slot *slot, const uint8_t *body, size_t length) {
  if (slot->step == 0 && length != 2 + 13) fail("walk: the file is not there");
  if (slot->step == 1 && (length != 153 || !S_ISREG(get32(body + 21)))) fail("getattr: not a regular file");
  slot->step = (slot->step + 1) % 3;
  return slot->step == 0;
}

static void stat_local(int fd, uint8_t *buffer) {
  struct stat st;
  int file = openat(fd, some_file(), O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (file < 0 || fstat(file, &st) < 0 || !S_ISREG(st.st_mode)) fail("stat: %s", strerror(errno));
  close(file);
  (void)buffer;
}

// Every eight bytes of the data are their own offset.
static void check_data(const uint8_t *data, uint64_t offset, uint32_t wanted, uint32_t got) {
  if (got != wanted) fail("read: %u bytes instead of %u", got, wanted);
  if (offset % 8 == 0 && got >= 8 && get64(data) != offset) fail("read: wrong data at %lu", (unsigned long)offset);
  bytes_moved += got;
}

static void read_request(struct Slot *slot, struct Out *out) {
  start(slot, out, kTread);
  put32(out, kWorkFid);
  put64(out, slot->offset);
  put32(out, slot->count);
}

static bool read_reply(struct Slot *slot, const uint8_t *body, size_t length) {
  (void)length;
  check_data(body + 4, slot->offset, slot->count, get32(body));
  return true;
}

static void random_block(uint64_t *offset, uint32_t *count) {
  *offset = (uint64_t)below(kDataBytes / kBlock) * kBlock;
  *count = kBlock;
}

static void next_block(uint64_t *offset, uint32_t *count) {
  static uint64_t next;
  if (next == kDataBytes) next = 0;
  *offset = next;
  *count = msize - kIoHeader;
  if (*count > kDataBytes - next) *count = kDataBytes - next;
  next += *count;
}

static void random_request(struct Slot *slot, struct Out *out) {
  random_block(&slot->offset, &slot->count);
  read_request(slot, out);
}

static void sequential_request(struct Slot *slot, struct Out *out) {
  next_block(&slot->offset, &slot->count);
  read_request(slot, out);
}

static void read_local(int fd, uint8_t *buffer, void (*choose)(uint64_t *, uint32_t *)) {
  uint64_t offset;
  uint32_t count;
  choose(&offset, &count);
  ssize_t got = pread(fd, buffer, count, offset);
  if (got < 0) fail("read: %s", strerror(errno));
  check_data(buffer, offset, count, got);
}

static void random_local(int fd, uint8_t *buffer) { read_local(fd, buffer, random_block); }
static void sequential_local(int fd, uint8_t *buffer) { read_local(fd, buffer, next_block); }

static uint8_t block[1 << 20];

static void write_request(struct Slot *slot, struct Out *out) {
  next_block(&slot->offset, &slot->count);
  start(slot, out, kTwrite);
  put32(out, kWorkFid);
  put64(out, slot->offset);
  put32(out, slot->count);
  put(out, block, slot->count);
}

static bool write_reply(struct Slot *slot, const uint8_t *body, size_t length) {
  (void)length;
  if (get32(body) != slot->count) fail("write: %u bytes instead of %u", get32(body), slot->count);
  bytes_moved += slot->count;
  return true;
}

static void write_local(int fd, uint8_t *buffer) {
  uint64_t offset;
  uint32_t count;
  next_block(&offset, &count);
  if (pwrite(fd, block, count, offset) != count) fail("write: %s", strerror(errno));
  bytes_moved += count;
  (void)buffer;
}

// `count` counts entries, `offset` is the cookie.
static void list_request(struct Slot *slot, struct Out *out) {
  if (slot->step == 0) {
    slot->offset = slot->count = 0;
    walk(slot, out, NULL);
  } else if (slot->step == 1) {
    fid_only(slot, out, kTlopen);
    put32(out, O_DIRECTORY);
  } else if (slot->step == 2) {
    fid_only(slot, out, kTreaddir);
    put64(out, slot->offset);
    put32(out, msize - kIoHeader);
  } else {
    fid_only(slot, out, kTclunk);
  }
}

static bool list_reply(struct Slot *slot, const uint8_t *body, size_t length) {
  if (slot->step == 2) {
    const uint8_t *last = body + length;
    const uint8_t *at = body + 4;
    bool is_end = at == last;
    for (; at < last; at += 24 + (at[22] | at[23] << 8)) {
      slot->offset = get64(at + 13);
      slot->count++;
    }
    if (!is_end) return false;
    if (slot->count < kListed) fail("readdir: %u entries instead of %u", slot->count, kListed);
  }
  slot->step = (slot->step + 1) % 4;
  return slot->step == 0;
}

static void list_local(int fd, uint8_t *buffer) {
  int directory = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  unsigned entries = 0;
  for (;;) {
    long length = syscall(SYS_getdents64, directory, buffer, msize);
    if (length < 0) fail("getdents64: %s", strerror(errno));
    if (length == 0) break;
    for (uint8_t *at = buffer; at < buffer + length; at += at[16] | at[17] << 8) entries++;
  }
  if (entries < kListed) fail("getdents64: %u entries instead of %u", entries, kListed);
  close(directory);
}

static void new_name(char (*name)[32]) {
  static unsigned number;
  snprintf(*name, sizeof *name, "new-%u", number++);
}

// The file goes by Tremove: Tunlinkat is unknown to diod 1.0.24.
static void create_request(struct Slot *slot, struct Out *out) {
  if (slot->step == 0) {
    walk(slot, out, NULL);
  } else if (slot->step == 1) {
    new_name(&slot->name);
    fid_only(slot, out, kTlcreate);
    put_text(out, slot->name);
    put32(out, O_CREAT | O_EXCL | O_WRONLY);
    put32(out, 0600);
    put32(out, getgid());
  } else if (slot->step == 2) {
    fid_only(slot, out, kTwrite);
    put64(out, 0);
    put32(out, kBlock);
    put(out, block, kBlock);
  } else {
    fid_only(slot, out, kTremove);
  }
}

static bool create_reply(struct Slot *slot, const uint8_t *body, size_t length) {
  (void)length;
  if (slot->step == 2 && get32(body) != kBlock) fail("write: %u bytes", get32(body));
  slot->step = (slot->step + 1) % 4;
  return slot->step == 0;
}

static void create_local(int fd, uint8_t *buffer) {
  char name[32];
  new_name(&name);
  int file = openat(fd, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
  if (file < 0 || pwrite(file, block, kBlock, 0) != kBlock) fail("create: %s", strerror(errno));
  if (close(file) < 0 || unlinkat(fd, name, 0) < 0) fail("unlink: %s", strerror(errno));
  (void)buffer;
}

static const struct Work works[] = {
    {"stat", "files", -1, stat_request, stat_reply, stat_local},
    {"random", "data", O_RDONLY, random_request, read_reply, random_local},
    {"sequential", "data", O_RDONLY, sequential_request, read_reply, sequential_local},
    {"write", "scratch/data", O_WRONLY, write_request, write_reply, write_local},
    {"list", "list", -1, list_request, list_reply, list_local},
    {"create", "scratch", -1, create_request, create_reply, create_local},
};

// ---- a connection ----

static int server;
static uint8_t *input;
static size_t input_size;
static uint8_t output[kMaxDepth * (kBlock + 256) + sizeof block];

static void send_all(const uint8_t *at, const uint8_t *last) {
  while (at < last) {
    ssize_t sent = send(server, at, last - at, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) fail("send: %s", strerror(errno));
    at += sent;
  }
}

static size_t receive(uint8_t *at, size_t room) {
  ssize_t length;
  do length = recv(server, at, room, 0);
  while (length < 0 && errno == EINTR);
  if (length < 0) fail("recv: %s", strerror(errno));
  if (length == 0) fail("the server closed the connection");
  return length;
}

static void check_type(const uint8_t *message, uint8_t type) {
  if (message[4] == kRlerror) fail("request %u: %s", type, strerror(get32(message + kHeader)));
  if (message[4] != type + 1) fail("request %u: reply of type %u", type, message[4]);
}

// Sends one request and waits for its reply, which is in `input` then.
static void call(struct Out *out, uint8_t type) {
  send_all(out->start, end(out));
  size_t have = 0;
  while (have < kHeader || have < get32(input)) have += receive(input + have, input_size - have);
  check_type(input, type);
}

static void connect_to(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) fail("%s: path too long", path);
  strcpy(address.sun_path, path);
  server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (server < 0 || connect(server, (struct sockaddr *)&address, sizeof address) < 0)
    fail("%s: %s", path, strerror(errno));
}

static void attach(const char *tree, const struct Work *work) {
  struct Out out;
  begin(&out, output, kTversion, 0xffff);
  put32(&out, msize);
  put_text(&out, "9P2000.L");
  call(&out, kTversion);
  msize = get32(input + kHeader);
  begin(&out, output, kTattach, 0);
  put32(&out, kRootFid);
  put32(&out, 0xffffffff);
  put_text(&out, "root");
  put_text(&out, tree);
  put32(&out, getuid());
  call(&out, kTattach);
  begin(&out, output, kTwalk, 0);
  put32(&out, kRootFid);
  put32(&out, kWorkFid);
  char names[64];
  strcpy(names, work->subject);
  char *second = strchr(names, '/');
  if (second != NULL) *second++ = 0;
  put16(&out, second == NULL ? 1 : 2);
  put_text(&out, names);
  if (second != NULL) put_text(&out, second);
  call(&out, kTwalk);
  if (work->flags < 0) return;
  begin(&out, output, kTlopen, 0);
  put32(&out, kWorkFid);
  put32(&out, work->flags);
  call(&out, kTlopen);
}

// Handles every whole reply of [at, last) and sends what follows from them at once; returns where it stopped.
static uint8_t *handle(const struct Work *work, struct Slot *slots, uint8_t *at, uint8_t *last, bool go_on,
                       unsigned *under_way) {
  struct Out out = {output, output};
  while (last - at >= kHeader && (size_t)(last - at) >= get32(at)) {
    uint16_t tag = at[5] | at[6] << 8;
    if (tag >= depth) fail("reply with tag %u", tag);
    struct Slot *slot = &slots[tag];
    check_type(at, slot->type);
    bool done = work->reply(slot, at + kHeader, get32(at) - kHeader);
    at += get32(at);
    operations += done;
    if (done && !go_on) {
      (*under_way)--;
      continue;
    }
    work->request(slot, &out);
    end(&out);
  }
  send_all(output, out.at);
  return at;
}

static void run_9p(const struct Work *work, double seconds) {
  struct Slot slots[kMaxDepth] = {0};
  struct Out out = {output, output};
  unsigned under_way = depth;
  double deadline = now() + seconds;
  for (unsigned i = 0; i < depth; i++) {
    slots[i].tag = i;
    slots[i].fid = kFirstFid + i;
    work->request(&slots[i], &out);
    end(&out);
  }
  send_all(output, out.at);
  for (size_t have = 0; under_way > 0;) {
    have += receive(input + have, input_size - have);
    if (have >= kHeader && get32(input) > input_size) fail("reply of %u bytes", get32(input));
    uint8_t *rest = handle(work, slots, input, input + have, now() < deadline, &under_way);
    have -= rest - input;
    memmove(input, rest, have);
  }
}

static void run_local(const char *tree, const struct Work *work, double seconds) {
  int root = open(tree, O_PATH | O_DIRECTORY | O_CLOEXEC);
  int fd = openat(root, work->subject, (work->flags < 0 ? O_RDONLY : work->flags) | O_CLOEXEC);
  if (fd < 0) fail("%s: %s", work->subject, strerror(errno));
  double deadline = now() + seconds;
  unsigned batch = strcmp(work->name, "list") == 0 ? 1 : 16;
  do {
    for (unsigned i = 0; i < batch; i++) work->local(fd, input);
    operations += batch;
  } while (now() < deadline);
}

int main(int argc, char **argv) {
  if (argc != 7) fail("usage: load SOCKET|local TREE WORK DEPTH MSIZE SECONDS");
  const struct Work *work = NULL;
  for (size_t i = 0; i < sizeof works / sizeof *works; i++)
    if (strcmp(works[i].name, argv[3]) == 0) work = &works[i];
  if (work == NULL) fail("unknown work %s", argv[3]);
  depth = atoi(argv[4]);
  if (depth < 1 || depth > kMaxDepth) fail("depth is not between 1 and %d", kMaxDepth);
  msize = atoi(argv[5]);
  if (msize > sizeof block || (depth > 1 && work->request == write_request)) fail("messages do not fit");
  input_size = 2 * (size_t)msize + (1 << 20);
  input = malloc(input_size);
  memset(input, 0, input_size);
  memset(block, 'x', sizeof block);
  bool is_local = strcmp(argv[1], "local") == 0;
  if (!is_local) {
    connect_to(argv[1]);
    attach(argv[2], work);
  }
  double began = now();
  if (is_local) run_local(argv[2], work, atof(argv[6]));
  else run_9p(work, atof(argv[6]));
  printf("%lu %.6f %lu %u\n", (unsigned long)operations, now() - began, (unsigned long)bytes_moved, msize);
  return 0;
}
