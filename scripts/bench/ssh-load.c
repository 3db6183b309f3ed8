// The load generator of ssh-table.ts, which compiles and runs it: both ends of one byte stream, whatever carries it.
//
//   ssh-load listen PATH                           answers connections to a unix socket
//   ssh-load serve                                 answers on descriptor 3
//   ssh-load drive WORK AMOUNT DEPTH [PATH]        does one piece of work on descriptor 3, or on a connection to PATH
//
// WORK is `down` or `up`, AMOUNT bytes to or from here, or `echo`, AMOUNT messages of 100 bytes with DEPTH of them under
// way. Prints seconds. Bytes go in blocks of 1 MiB, as the largest messages of 9P do.
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { kStream = 3, kBlock = 1 << 20, kMessage = 100 };

struct command {
  uint64_t amount;
  char work;
};

static char block[kBlock];

static void fail(const char *what) {
  fprintf(stderr, "ssh-load: %s: %s\n", what, errno == 0 ? "the stream has ended" : strerror(errno));
  exit(1);
}

static void send_all(int fd, const void *data, size_t size) {
  for (size_t done = 0; done < size;) {
    const ssize_t result = write(fd, (const char *)data + done, size - done);
    if (result < 0 && errno != EINTR) fail("write");
    if (result > 0) done += result;
  }
}

// At least `least` bytes. Returns 0 at the end of the stream.
static size_t receive(int fd, char *data, size_t least, size_t most) {
  size_t done = 0;
  while (done < least) {
    const ssize_t result = read(fd, data + done, most - done);
    if (result < 0 && errno != EINTR) fail("read");
    if (result == 0) return 0;
    if (result > 0) done += result;
  }
  return done;
}

static void send_bytes(int fd, uint64_t amount) {
  while (amount > 0) {
    const size_t size = amount < kBlock ? amount : kBlock;
    send_all(fd, block, size);
    amount -= size;
  }
}

static void receive_bytes(int fd, uint64_t amount) {
  errno = 0;
  while (amount > 0) {
    const size_t size = receive(fd, block, 1, amount < kBlock ? amount : kBlock);
    if (size == 0) fail("read");
    amount -= size;
  }
}

// What has come of whole messages goes back in one write, as a server does with the requests in its buffer.
static void echo(int fd, uint64_t messages) {
  errno = 0;
  size_t held = 0;
  for (uint64_t left = messages * kMessage; left > 0;) {
    const size_t got = receive(fd, block + held, 1, kBlock - held);
    if (got == 0) fail("read");
    held += got;
    const size_t whole = held - held % kMessage;
    send_all(fd, block, whole);
    memmove(block, block + whole, held - whole);
    held -= whole;
    left -= whole;
  }
}

static void serve(int fd) {
  struct command command;
  while (receive(fd, (char *)&command, sizeof command, sizeof command) > 0) {
    if (command.work == 'd') send_bytes(fd, command.amount);
    if (command.work == 'e') echo(fd, command.amount);
    if (command.work == 'u') {
      receive_bytes(fd, command.amount);
      send_all(fd, "", 1);
    }
  }
}

static void ping(int fd, uint64_t messages, unsigned depth) {
  errno = 0;
  uint64_t sent = 0;
  size_t part = 0;
  for (uint64_t back = 0; back < messages;) {
    uint64_t now = back + depth < messages ? back + depth - sent : messages - sent;
    send_all(fd, block, now * kMessage);
    sent += now;
    const size_t got = receive(fd, block, 1, (sent - back) * kMessage - part);
    if (got == 0) fail("read");
    back += (part + got) / kMessage;
    part = (part + got) % kMessage;
  }
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec * 1e-9;
}

static void drive(int fd, char work, uint64_t amount, unsigned depth) {
  const struct command command = {.amount = amount, .work = work};
  const double start = now();
  send_all(fd, &command, sizeof command);
  if (work == 'd') receive_bytes(fd, amount);
  if (work == 'e') ping(fd, amount, depth);
  if (work == 'u') {
    send_bytes(fd, amount);
    receive_bytes(fd, 1);
  }
  printf("%.6f\n", now() - start);
}

static int unix_socket(const char *path, struct sockaddr_un *address) {
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  strncpy(address->sun_path, path, sizeof address->sun_path - 1);
  return socket(AF_UNIX, SOCK_STREAM, 0);
}

static void answer(const char *path) {
  struct sockaddr_un address;
  const int listener = unix_socket(path, &address);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 8) != 0) fail(path);
  signal(SIGCHLD, SIG_IGN);
  puts("listening");
  fflush(stdout);
  for (;;) {
    const int fd = accept(listener, NULL, NULL);
    if (fd < 0) fail("accept");
    if (fork() == 0) {
      serve(fd);
      exit(0);
    }
    close(fd);
  }
}

static int reach(const char *path) {
  struct sockaddr_un address;
  const int fd = unix_socket(path, &address);
  if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) fail(path);
  return fd;
}

int main(int argc, char **argv) {
  if (argc == 3 && strcmp(argv[1], "listen") == 0) answer(argv[2]);
  if (argc == 2 && strcmp(argv[1], "serve") == 0) {
    serve(kStream);
    return 0;
  }
  if (argc < 5 || strcmp(argv[1], "drive") != 0) {
    fputs("usage: ssh-load listen PATH | serve | drive WORK AMOUNT DEPTH [PATH]\n", stderr);
    return 2;
  }
  drive(argc > 5 ? reach(argv[5]) : kStream, argv[2][0], strtoull(argv[3], NULL, 10), atoi(argv[4]));
  return 0;
}
