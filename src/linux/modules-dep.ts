// Names of kernel modules, and modules.dep(5) of lib/modules/RELEASE: for PID 1 and for the launcher's images.

export interface ModuleDependencies {
  /** As modules.dep has it: below its directory, or absolute. */
  readonly path: string
  /** Names of all that must be loaded before, in that order. */
  readonly dependencies: readonly string[]
}

/** `kernel/net/vmw_vsock/vsock.ko.xz`, `kvm-amd` -> `vsock`, `kvm_amd`. */
export function moduleName(path: string): string {
  return path
    .slice(path.lastIndexOf('/') + 1)
    .replace(/\.ko(\.\w+)?$/, '')
    .replaceAll('-', '_')
}

/** `kernel/fs/9p/9p.ko: kernel/net/9p/9pnet.ko ...`, the file and all it depends on; by the module's name. */
export function parseModulesDep(text: string): Map<string, ModuleDependencies> {
  const modules = new Map<string, ModuleDependencies>()
  for (const line of text.split('\n').filter(Boolean)) {
    const [path = '', rest = ''] = line.split(':', 2)
    // The last one named has no dependency among the others, so it is to be loaded first.
    const dependencies = rest.split(' ').filter(Boolean).map(moduleName).reverse()
    modules.set(moduleName(path), { path, dependencies })
  }
  return modules
}
