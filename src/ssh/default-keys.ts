// The keys of a user who names none.

/** In ~/.ssh, in the order in which they are tried; `.pub` is beside each. */
export const DEFAULT_KEYS = ['cpu_rsa', 'id_rsa', 'id_ecdsa', 'id_ed25519']
