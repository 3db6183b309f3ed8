// Pseudo-terminals: pty(7), ioctl_tty(2), termios(3).
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "errors.h"
#include "families.h"

namespace cpu {
namespace {

// The size is the four arguments from `first` on: rows, columns, width and height in pixels.
int SetWindowSize(int fd, const Napi::CallbackInfo& info, size_t first) {
  const auto number = [&](size_t i) {
    return static_cast<unsigned short>(info[first + i].As<Napi::Number>().Uint32Value());
  };
  const winsize size = {number(0), number(1), number(2), number(3)};
  return ioctl(fd, TIOCSWINSZ, &size);
}

// resizePty(fd, rows, columns, xPixels, yPixels) on either end; the foreground process group gets SIGWINCH.
Napi::Value ResizePty(const Napi::CallbackInfo& info) {
  const int fd = info[0].As<Napi::Number>().Int32Value();
  return Napi::Number::New(info.Env(), OrErrno(SetWindowSize(fd, info, 1)));
}

// openPty(out, rows, columns, xPixels, yPixels): out is master, slave, number in /dev/pts. The slave is
// opened through the master (TIOCGPTPEER), so it is the right one whatever is mounted on /dev/pts here.
Napi::Value OpenPty(const Napi::CallbackInfo& info) {
  const int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0) return Napi::Number::New(info.Env(), -errno);
  int slave = -1;
  int number = -1;
  if (grantpt(master) < 0 || unlockpt(master) < 0 || ioctl(master, TIOCGPTN, &number) < 0 ||
      (slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0 ||
      SetWindowSize(master, info, 1) < 0) {
    const int error = errno;
    if (slave >= 0) close(slave);
    close(master);
    return Napi::Number::New(info.Env(), -error);
  }
  auto out = info[0].As<Napi::Int32Array>();
  out[0] = master;
  out[1] = slave;
  out[2] = number;
  return Napi::Number::New(info.Env(), 0);
}

// The layout of the Uint32Array below: iflag, oflag, cflag, lflag, then the control characters.
constexpr size_t kControlCharacters = 4;

// getTerminalAttributes(fd, attributes)
Napi::Value GetTerminalAttributes(const Napi::CallbackInfo& info) {
  termios settings = {};
  const int result = OrErrno(tcgetattr(info[0].As<Napi::Number>().Int32Value(), &settings));
  auto out = info[1].As<Napi::Uint32Array>();
  out[0] = settings.c_iflag;
  out[1] = settings.c_oflag;
  out[2] = settings.c_cflag;
  out[3] = settings.c_lflag;
  for (size_t i = 0; i < NCCS; i++) out[kControlCharacters + i] = settings.c_cc[i];
  return Napi::Number::New(info.Env(), result);
}

// setTerminalAttributes(fd, attributes): at once; speeds and line discipline stay as they are.
Napi::Value SetTerminalAttributes(const Napi::CallbackInfo& info) {
  const int fd = info[0].As<Napi::Number>().Int32Value();
  termios settings = {};
  if (tcgetattr(fd, &settings) < 0) return Napi::Number::New(info.Env(), -errno);
  auto in = info[1].As<Napi::Uint32Array>();
  settings.c_iflag = in[0];
  settings.c_oflag = in[1];
  settings.c_cflag = in[2];
  settings.c_lflag = in[3];
  for (size_t i = 0; i < NCCS; i++) settings.c_cc[i] = static_cast<cc_t>(in[kControlCharacters + i]);
  return Napi::Number::New(info.Env(), OrErrno(tcsetattr(fd, TCSANOW, &settings)));
}

}  // namespace

void InitPty(Napi::Env env, Napi::Object exports) {
  exports.Set("openPty", Napi::Function::New<OpenPty>(env, "openPty"));
  exports.Set("resizePty", Napi::Function::New<ResizePty>(env, "resizePty"));
  exports.Set("getTerminalAttributes",
              Napi::Function::New<GetTerminalAttributes>(env, "getTerminalAttributes"));
  exports.Set("setTerminalAttributes",
              Napi::Function::New<SetTerminalAttributes>(env, "setTerminalAttributes"));
}

}  // namespace cpu
