// How a failed system call reaches TypeScript: as a negative errno, returned as a number.
// src/native/binding.ts turns it into a SystemError that names its subject.
#pragma once

#include <cerrno>

#include <napi.h>

namespace cpu {

// The result of a system call that returns -1 and sets errno, as value or -errno.
template <typename T>
inline T OrErrno(T result) {
  return result < 0 ? static_cast<T>(-errno) : result;
}

// Repeats a system call that a signal interrupted.
template <typename F>
inline auto Retry(F call) -> decltype(call()) {
  for (;;) {
    auto result = call();
    if (result >= 0 || errno != EINTR) return result;
  }
}

}  // namespace cpu
