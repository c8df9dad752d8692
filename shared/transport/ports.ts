/**
 * The well-known ports between a parent instance and its enclave.
 *
 * @module
 */

/** Parent: HTTP CONNECT to the hosts on its allowlist. */
export const EGRESS_PORT = 8001;
/** Parent: the role's short-lived credentials. */
export const CREDENTIALS_PORT = 8002;
/** Parent: the log sink. */
export const LOG_PORT = 8003;
/** Parent: one JSON document for the application, which the enclave measures. */
export const CONFIG_PORT = 8004;
/** Enclave: the application's HTTP. */
export const APP_PORT = 8080;
