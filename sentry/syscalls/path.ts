// Calls on path names; each aspect has its own file.

export * from './path-attributes.ts'
export * from './path-fileattr.ts'
export * from './path-handle.ts'
export * from './path-mount.ts'
export {
  sys_fsconfig,
  sys_fsmount,
  sys_fsopen,
  sys_fspick,
  sys_mount_setattr,
  sys_move_mount,
  sys_open_tree,
  sys_open_tree_attr,
} from './path-mount-api.ts'
export * from './path-names.ts'
export * from './path-open.ts'
export * from './path-stat.ts'
export { sys_listmount, sys_statmount } from './path-statmount.ts'
export * from './path-xattr.ts'
export {
  sys_getxattrat,
  sys_listxattrat,
  sys_removexattrat,
  sys_setxattrat,
} from './path-xattrat.ts'
