// What `runsc features` tells engines. Source: OCI runtime specification, features.md.

import { UNSAFE_ANNOTATIONS } from './annotations.ts'
import { ALL_CAPABILITIES } from './capabilities.ts'
import { MOUNT_OPTIONS } from './mount-options.ts'
import {
  SECCOMP_ACTIONS,
  SECCOMP_ARCHITECTURES,
  SECCOMP_FLAGS,
  SECCOMP_OPERATORS,
} from './seccomp.ts'
import { OCI_VERSION, VERSION } from './version.ts'

/** Hooks in the order in which a container's life brings them. */
export const HOOKS = [
  'prestart',
  'createRuntime',
  'createContainer',
  'startContainer',
  'poststart',
  'poststop',
] as const

/** Namespaces that an entry of linux.namespaces makes or joins. */
const NAMESPACES = ['cgroup', 'ipc', 'mount', 'network', 'pid', 'user', 'uts']

/** The document. */
export function features(): Record<string, unknown> {
  return {
    ociVersionMin: '1.0.0',
    ociVersionMax: OCI_VERSION,
    hooks: HOOKS,
    mountOptions: MOUNT_OPTIONS,
    linux: {
      namespaces: NAMESPACES,
      capabilities: ALL_CAPABILITIES,
      cgroup: { v1: true, v2: true, systemd: true, systemdUser: false, rdma: false },
      seccomp: {
        enabled: true,
        actions: SECCOMP_ACTIONS,
        operators: SECCOMP_OPERATORS,
        archs: SECCOMP_ARCHITECTURES,
        knownFlags: Object.keys(SECCOMP_FLAGS),
        supportedFlags: Object.keys(SECCOMP_FLAGS),
      },
      apparmor: { enabled: false },
      selinux: { enabled: false },
      intelRdt: { enabled: false },
      mountExtensions: { idmap: { enabled: true } },
    },
    annotations: { 'dev.portcullis.version': VERSION },
    potentiallyUnsafeConfigAnnotations: UNSAFE_ANNOTATIONS,
  }
}
