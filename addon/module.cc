// The addon: system calls that Node does not have, and nothing else.
// Arguments are checked in TypeScript (src/native/), the only importer of this module.
#include "families.h"

static Napi::Object Init(Napi::Env env, Napi::Object exports) {
  cpu::InitStream(env, exports);
  cpu::InitPolling(env, exports);
  cpu::InitVsock(env, exports);
  cpu::InitPty(env, exports);
  cpu::InitSpawn(env, exports);
  cpu::InitMount(env, exports);
  cpu::InitSystem(env, exports);
  cpu::InitFiles(env, exports);
  cpu::InitWatch(env, exports);
  cpu::InitFuse(env, exports);
  return exports;
}

NODE_API_MODULE(cpu_harness, Init)
