import packageJson from '../package.json' with { type: 'json' }

export const VERSION: string = packageJson.version
/** The OCI runtime specification that we follow. */
export const OCI_VERSION = '1.2.0'
