// What cpud needs of its machine beside mounts: users, and as PID 1 modules, host name, network interfaces, serial
// lines, reboot.
#include <arpa/inet.h>
#include <dlfcn.h>
#include <grp.h>
#include <linux/random.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "errors.h"
#include "families.h"

namespace cpu {
namespace {

std::string Text(Napi::Value value) { return value.As<Napi::String>().Utf8Value(); }
Napi::Value Result(const Napi::CallbackInfo& info, long result) {
  return Napi::Number::New(info.Env(), static_cast<double>(result));
}

// loadModule(fd, parameters, flags): finit_module(2).
Napi::Value LoadModule(const Napi::CallbackInfo& info) {
  int fd = info[0].As<Napi::Number>().Int32Value();
  int flags = info[2].As<Napi::Number>().Int32Value();
  return Result(info, OrErrno(syscall(SYS_finit_module, fd, Text(info[1]).c_str(), flags)));
}

// reboot(command): returns only when it failed, or when the command leaves the machine running.
Napi::Value Reboot(const Napi::CallbackInfo& info) {
  return Result(info, OrErrno(reboot(static_cast<int>(info[0].As<Napi::Number>().Uint32Value()))));
}

// exitNow(code): _exit(2). Does not wait for threads, as exit(3) in Node does.
void ExitNow(const Napi::CallbackInfo& info) { _exit(info[0].As<Napi::Number>().Int32Value()); }

// sync(): everything that is in memory only is on its device when it returns.
Napi::Value Sync(const Napi::CallbackInfo& info) {
  sync();
  return Result(info, 0);
}

// lookUpUser(name): {uid, gid, home, shell, groups} as the machine's name service has them; 0 for nobody of that name.
Napi::Value LookUpUser(const Napi::CallbackInfo& info) {
  std::string name = Text(info[0]);
  std::vector<char> buffer(64 * 1024);
  passwd entry = {};
  passwd* found = nullptr;
  int error = getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (found == nullptr) {
    // POSIX allows these to mean that there is no such name.
    bool is_unknown = error == ENOENT || error == ESRCH || error == EBADF || error == EPERM;
    return Result(info, is_unknown ? 0 : -error);
  }
  std::vector<gid_t> groups(64);
  int count = static_cast<int>(groups.size());
  while (getgrouplist(name.c_str(), entry.pw_gid, groups.data(), &count) < 0) {
    count = std::max(count, static_cast<int>(groups.size()) * 2);
    groups.resize(count);
  }
  auto list = Napi::Array::New(info.Env(), count);
  for (int i = 0; i < count; i++) list[i] = Napi::Number::New(info.Env(), groups[i]);
  auto user = Napi::Object::New(info.Env());
  user["uid"] = Napi::Number::New(info.Env(), entry.pw_uid);
  user["gid"] = Napi::Number::New(info.Env(), entry.pw_gid);
  user["home"] = Napi::String::New(info.Env(), entry.pw_dir);
  user["shell"] = Napi::String::New(info.Env(), entry.pw_shell);
  user["groups"] = list;
  return user;
}

Napi::Value SetHostname(const Napi::CallbackInfo& info) {
  std::string name = Text(info[0]);
  return Result(info, OrErrno(sethostname(name.data(), name.size())));
}

// One ioctl on a socket made for it (netdevice(7)).
long NetworkIoctl(unsigned long request, void* argument) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  long result = OrErrno(ioctl(fd, request, argument));
  close(fd);
  return result;
}

ifreq InterfaceRequest(Napi::Value name) {
  ifreq request = {};
  strncpy(request.ifr_name, Text(name).c_str(), IFNAMSIZ - 1);
  return request;
}

// `address` is in host byte order.
void SetAddress(sockaddr* to, uint32_t address) {
  sockaddr_in in = {};
  in.sin_family = AF_INET;
  in.sin_addr.s_addr = htonl(address);
  memcpy(to, &in, sizeof in);
}

// setInterfaceAddress(name, address): SIOCSIFADDR.
Napi::Value SetInterfaceAddress(const Napi::CallbackInfo& info) {
  ifreq request = InterfaceRequest(info[0]);
  SetAddress(&request.ifr_addr, info[1].As<Napi::Number>().Uint32Value());
  return Result(info, NetworkIoctl(SIOCSIFADDR, &request));
}

// setInterfaceNetmask(name, mask): SIOCSIFNETMASK.
Napi::Value SetInterfaceNetmask(const Napi::CallbackInfo& info) {
  ifreq request = InterfaceRequest(info[0]);
  SetAddress(&request.ifr_netmask, info[1].As<Napi::Number>().Uint32Value());
  return Result(info, NetworkIoctl(SIOCSIFNETMASK, &request));
}

// setInterfaceUp(name): SIOCGIFFLAGS, SIOCSIFFLAGS.
Napi::Value SetInterfaceUp(const Napi::CallbackInfo& info) {
  ifreq request = InterfaceRequest(info[0]);
  long result = NetworkIoctl(SIOCGIFFLAGS, &request);
  if (result < 0) return Result(info, result);
  request.ifr_flags |= IFF_UP;
  return Result(info, NetworkIoctl(SIOCSIFFLAGS, &request));
}

// addDefaultRoute(gateway): SIOCADDRT.
Napi::Value AddDefaultRoute(const Napi::CallbackInfo& info) {
  rtentry route = {};
  SetAddress(&route.rt_dst, 0);
  SetAddress(&route.rt_genmask, 0);
  SetAddress(&route.rt_gateway, info[0].As<Napi::Number>().Uint32Value());
  route.rt_flags = RTF_UP | RTF_GATEWAY;
  return Result(info, NetworkIoctl(SIOCADDRT, &route));
}

// broadcastSocket(interface, port): a bound UDP socket that speaks through this interface only, also while it has no
// address (SO_BINDTODEVICE of socket(7)). Returns the descriptor.
Napi::Value BroadcastSocket(const Napi::CallbackInfo& info) {
  std::string name = Text(info[0]);
  int on = 1;
  sockaddr_in any = {};
  any.sin_family = AF_INET;
  any.sin_port = htons(static_cast<uint16_t>(info[1].As<Napi::Number>().Uint32Value()));
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return Result(info, -errno);
  if (setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof on) < 0 ||
      setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name.c_str(), static_cast<socklen_t>(name.size())) < 0 ||
      bind(fd, reinterpret_cast<sockaddr*>(&any), sizeof any) < 0) {
    int error = errno;
    close(fd);
    return Result(info, -error);
  }
  return Result(info, fd);
}

// setClock(milliseconds): clock_settime(2) of the real-time clock, in milliseconds since 1970.
Napi::Value SetClock(const Napi::CallbackInfo& info) {
  const double milliseconds = info[0].As<Napi::Number>().DoubleValue();
  timespec time;
  time.tv_sec = static_cast<time_t>(milliseconds / 1000);
  time.tv_nsec = static_cast<long>((milliseconds - static_cast<double>(time.tv_sec) * 1000) * 1e6);
  return Result(info, OrErrno(clock_settime(CLOCK_REALTIME, &time)));
}

// reseedKernel(fd, seed): mixes the bytes in (RNDADDENTROPY), and has the kernel's generator begin anew with them
// (RNDRESEEDCRNG, Linux 4.17).
Napi::Value ReseedKernel(const Napi::CallbackInfo& info) {
  int fd = info[0].As<Napi::Number>().Int32Value();
  auto seed = info[1].As<Napi::Uint8Array>();
  const size_t length = seed.ByteLength();
  // Its last member is a flexible array of integers.
  std::vector<char> memory(sizeof(rand_pool_info) + length);
  auto* pool = reinterpret_cast<rand_pool_info*>(memory.data());
  pool->entropy_count = static_cast<int>(length * 8);
  pool->buf_size = static_cast<int>(length);
  memcpy(pool->buf, seed.Data(), length);
  long result = OrErrno(ioctl(fd, RNDADDENTROPY, pool));
  return Result(info, result < 0 ? result : OrErrno(ioctl(fd, RNDRESEEDCRNG)));
}

// reseedOpenSsl(seed): RAND_seed(3). Its primary generator begins anew, with these bytes and fresh ones of the kernel's,
// and those of each thread notice that. Looked up by name, since not every Node has OpenSSL in itself or at all.
Napi::Value ReseedOpenSsl(const Napi::CallbackInfo& info) {
  using Seed = void (*)(const void*, int);
  auto seed_all = reinterpret_cast<Seed>(dlsym(RTLD_DEFAULT, "RAND_seed"));
  if (seed_all == nullptr) return Result(info, -ENOSYS);
  auto seed = info[0].As<Napi::Uint8Array>();
  seed_all(seed.Data(), static_cast<int>(seed.ByteLength()));
  return Result(info, 0);
}

// seekToEnd(fd): lseek(2) with SEEK_END.
Napi::Value SeekToEnd(const Napi::CallbackInfo& info) {
  return Result(info, OrErrno(lseek(info[0].As<Napi::Number>().Int32Value(), 0, SEEK_END)));
}

// makeRaw(fd): cfmakeraw(3) on a terminal, and reading enabled without modem control.
Napi::Value MakeRaw(const Napi::CallbackInfo& info) {
  int fd = info[0].As<Napi::Number>().Int32Value();
  termios settings;
  if (tcgetattr(fd, &settings) < 0) return Result(info, -errno);
  cfmakeraw(&settings);
  settings.c_cflag |= CREAD | CLOCAL;
  return Result(info, OrErrno(tcsetattr(fd, TCSANOW, &settings)));
}

}  // namespace

void InitSystem(Napi::Env env, Napi::Object exports) {
  exports.Set("loadModule", Napi::Function::New(env, LoadModule));
  exports.Set("reboot", Napi::Function::New(env, Reboot));
  exports.Set("sync", Napi::Function::New(env, Sync));
  exports.Set("exitNow", Napi::Function::New(env, ExitNow));
  exports.Set("lookUpUser", Napi::Function::New(env, LookUpUser));
  exports.Set("setHostname", Napi::Function::New(env, SetHostname));
  exports.Set("setInterfaceAddress", Napi::Function::New(env, SetInterfaceAddress));
  exports.Set("setInterfaceNetmask", Napi::Function::New(env, SetInterfaceNetmask));
  exports.Set("setInterfaceUp", Napi::Function::New(env, SetInterfaceUp));
  exports.Set("addDefaultRoute", Napi::Function::New(env, AddDefaultRoute));
  exports.Set("broadcastSocket", Napi::Function::New(env, BroadcastSocket));
  exports.Set("setClock", Napi::Function::New(env, SetClock));
  exports.Set("reseedKernel", Napi::Function::New(env, ReseedKernel));
  exports.Set("reseedOpenSsl", Napi::Function::New(env, ReseedOpenSsl));
  exports.Set("seekToEnd", Napi::Function::New(env, SeekToEnd));
  exports.Set("makeRaw", Napi::Function::New(env, MakeRaw));
}

}  // namespace cpu
