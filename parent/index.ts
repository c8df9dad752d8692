/**
 * `cloister/parent`: what runs on the instance beside an enclave, and forwards its bytes.
 *
 * @module
 */

export type { AddressClass } from "./address-class.ts";
export { classifyAddress } from "./address-class.ts";
export type { AllowlistEntry, HostMap } from "./allowlist.ts";
export type { ContainerCredentials, CredentialsOptions, ProvideCredentials } from "./credentials.ts";
export { startCredentials } from "./credentials.ts";
export type { Resolve } from "./dial.ts";
export type { EgressLimits, EgressOptions } from "./egress.ts";
export { startEgress } from "./egress.ts";
export type { IngressLimits, IngressOptions } from "./ingress.ts";
export { startIngress } from "./ingress.ts";
export type { NitroLauncherOptions } from "./launcher/nitro.ts";
export { createNitroLauncher } from "./launcher/nitro.ts";
export type { LogLevel, LogRecord, LogSink, LogSinkOptions, LogValue } from "./log-sink.ts";
export { startLogSink } from "./log-sink.ts";
export type { Direction, ParentEvent, ParentLog, RunningService, Service, ServiceStats, Tap } from "./observe.ts";
export type { Parent, ParentOptions } from "./parent.ts";
export { startParent } from "./parent.ts";
export type { ListeningService } from "./service.ts";
