// One Init function for each family of system calls; module.cc calls them all.
#pragma once

#include <napi.h>

namespace cpu {

void InitStream(Napi::Env env, Napi::Object exports);
void InitPolling(Napi::Env env, Napi::Object exports);
void InitVsock(Napi::Env env, Napi::Object exports);
void InitPty(Napi::Env env, Napi::Object exports);
void InitSpawn(Napi::Env env, Napi::Object exports);
void InitMount(Napi::Env env, Napi::Object exports);
void InitSystem(Napi::Env env, Napi::Object exports);
void InitFiles(Napi::Env env, Napi::Object exports);
void InitWatch(Napi::Env env, Napi::Object exports);
void InitFuse(Napi::Env env, Napi::Object exports);

}  // namespace cpu
