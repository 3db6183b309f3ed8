// What the files*.cc share: arguments of a raw N-API call, names checked to be one path component, and
// paths of descriptors. Raw N-API rather than node-addon-api's CallbackInfo: these calls run several times
// per file operation of a guest and cost 20 ns so.
#pragma once

#include <node_api.h>

#include <cstdint>
#include <cstdio>
#include <cstring>

#include "errors.h"

namespace cpu {
namespace files {

using Callback = napi_value (*)(napi_env, napi_callback_info);

// A function as TypeScript knows it.
struct Method {
  const char* name;
  Callback callback;
};

// Puts methods on the module's exports.
template <size_t N>
inline void Export(napi_env env, napi_value exports, const Method (&methods)[N]) {
  for (const Method& method : methods) {
    napi_value function;
    napi_create_function(env, method.name, NAPI_AUTO_LENGTH, method.callback, nullptr, &function);
    napi_set_named_property(env, exports, method.name, function);
  }
}

// A range of bytes in a Uint8Array; null when it does not lie inside the array.
struct Bytes {
  uint8_t* data;
  size_t length;
};

// The arguments of one call. A missing or mistyped argument reads as zero, null or an empty range, which
// every system call below refuses.
template <size_t N>
class Args {
 public:
  Args(napi_env env, napi_callback_info info) : env_(env) {
    size_t count = N;
    napi_get_cb_info(env, info, &count, values_, nullptr, nullptr);
  }

  napi_value Raw(size_t i) const { return values_[i]; }

  int Int(size_t i) const {
    int32_t value = -1;
    napi_get_value_int32(env_, values_[i], &value);
    return value;
  }

  uint32_t Uint(size_t i) const {
    uint32_t value = 0;
    napi_get_value_uint32(env_, values_[i], &value);
    return value;
  }

  double Double(size_t i) const {
    double value = 0;
    napi_get_value_double(env_, values_[i], &value);
    return value;
  }

  // A bigint, modulo 2^64.
  uint64_t Big(size_t i) const {
    uint64_t value = 0;
    bool lossless;
    napi_get_value_bigint_uint64(env_, values_[i], &value, &lossless);
    return value;
  }

  bool Bool(size_t i) const {
    bool value = false;
    napi_get_value_bool(env_, values_[i], &value);
    return value;
  }

  // The bytes [at, at + length) of the Uint8Array at index i; data is null when they are not all there.
  Bytes Range(size_t i, size_t at, size_t length) const {
    void* data = nullptr;
    size_t size = 0;
    if (napi_get_buffer_info(env_, values_[i], &data, &size) != napi_ok) return {nullptr, 0};
    if (at > size || length > size - at) return {nullptr, 0};
    // An empty array may have no memory behind it, which must not look like an error.
    static uint8_t nothing;
    return {data == nullptr ? &nothing : static_cast<uint8_t*>(data) + at, length};
  }

  // A string of bytes (one character each) into `out`; its length, or SIZE_MAX when it does not fit.
  size_t Latin1(size_t i, char* out, size_t capacity) const {
    size_t length = 0;
    if (napi_get_value_string_latin1(env_, values_[i], out, capacity, &length) != napi_ok) return SIZE_MAX;
    if (length == capacity - 1) return SIZE_MAX;
    return length;
  }

  napi_value Return(int64_t result) const {
    napi_value value;
    if (result >= INT32_MIN && result <= INT32_MAX) {
      napi_create_int32(env_, static_cast<int32_t>(result), &value);
    } else {
      napi_create_int64(env_, result, &value);
    }
    return value;
  }

 private:
  napi_env env_;
  napi_value values_[N];
};

// A name that a guest sent. This is the place where confinement is decided: the kernel is never given a
// name that could be more than one step down. openat2(RESOLVE_BENEATH) would add nothing: a single component
// that is neither "." nor "..", opened with O_NOFOLLOW, can only lead to an entry of the very directory.
class Name {
 public:
  template <size_t N>
  Name(const Args<N>& args, size_t i) {
    size_t length = args.Latin1(i, text_, sizeof text_);
    if (length == SIZE_MAX) {
      error_ = -ENAMETOOLONG;
    } else if (length == 0) {
      error_ = -ENOENT;
    } else if (memchr(text_, '/', length) != nullptr || memchr(text_, 0, length) != nullptr) {
      error_ = -EINVAL;
    } else if (strcmp(text_, ".") == 0 || strcmp(text_, "..") == 0) {
      error_ = -EINVAL;
    }
  }

  // Zero, or the negative errno that answers the call.
  int error() const { return error_; }
  const char* text() const { return text_; }

 private:
  char text_[255 + 2];
  int error_ = 0;
};

// /proc/self/fd/N, for calls that take no O_PATH descriptor: it leads to that very inode, whatever happened
// to its name.
class DescriptorPath {
 public:
  explicit DescriptorPath(int fd) { snprintf(text_, sizeof text_, "/proc/self/fd/%d", fd); }
  const char* text() const { return text_; }

 private:
  char text_[32];
};

// Little-endian fields, one after the other, wherever they fall.
class Fields {
 public:
  explicit Fields(uint8_t* at) : at_(at) {}
  Fields& U8(uint8_t value) { return Put(&value, 1); }
  Fields& U16(uint16_t value) { return Put(&value, 2); }
  Fields& U32(uint32_t value) { return Put(&value, 4); }
  Fields& U64(uint64_t value) { return Put(&value, 8); }
  Fields& Raw(const void* bytes, size_t length) { return Put(bytes, length); }

 private:
  Fields& Put(const void* value, size_t size) {
    static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "records are little-endian");
    memcpy(at_, value, size);
    at_ += size;
    return *this;
  }

  uint8_t* at_;
};

void ExportNames(napi_env env, napi_value exports);
void ExportData(napi_env env, napi_value exports);
void ExportAttributes(napi_env env, napi_value exports);
void ExportLocks(napi_env env, napi_value exports);

}  // namespace files
}  // namespace cpu
