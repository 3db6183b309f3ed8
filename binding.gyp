{
  "targets": [
    {
      "target_name": "cpu_harness",
      # Nothing elsewhere: the client does without.
      "type": "none",
      "conditions": [
        ["OS=='linux'", {
          "type": "loadable_module",
          "sources": [
            "addon/module.cc",
            "addon/stream.cc",
            "addon/polling.cc",
            "addon/vsock.cc",
            "addon/pty.cc",
            "addon/spawn.cc",
            "addon/supervisor.cc",
            "addon/mount.cc",
            "addon/system.cc",
            "addon/files.cc",
            "addon/files_attributes.cc",
            "addon/files_data.cc",
            "addon/files_locks.cc",
            "addon/watch.cc",
            "addon/fuse.cc"
          ],
          "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
          "defines": ["NAPI_VERSION=8", "NODE_ADDON_API_DISABLE_DEPRECATED", "NAPI_DISABLE_CPP_EXCEPTIONS", "_GNU_SOURCE"],
          "cflags": ["-Wall", "-Wextra", "-Werror", "-fvisibility=hidden", "-O2"],
          "cflags_cc": ["-std=c++17", "-fno-exceptions", "-fno-rtti"],
          "cflags!": ["-O3"]
        }]
      ]
    }
  ]
}
