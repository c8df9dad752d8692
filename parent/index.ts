/**
 * `cloister/parent`: what runs on the instance beside an enclave, and forwards its bytes.
 *
 * @module
 */

export type {
  AttachEnclave,
  CredentialsConfig,
  EgressConfig,
  HealthConfig,
  IngressConfig,
  LogsConfig,
  ParentConfig,
  RunEnclave,
} from "./config/parent-config.ts";
export { readParentConfig } from "./config/read.ts";
export type { ContainerCredentials, CredentialsOptions, ProvideCredentials } from "./credentials/credentials.ts";
export { startCredentials } from "./credentials/credentials.ts";
export type { CredentialsHttpLimits, CredentialsHttpOptions } from "./credentials/http-form.ts";
export { startCredentialsHttp } from "./credentials/http-form.ts";
export type { InstanceRoleOptions } from "./credentials/instance-role.ts";
export { fromInstanceRole } from "./credentials/instance-role.ts";
export type { RefreshingOptions } from "./credentials/refreshing.ts";
export { refreshing } from "./credentials/refreshing.ts";
export type { SdkCredentials } from "./credentials/sdk-provider.ts";
export { fromProvider } from "./credentials/sdk-provider.ts";
export type { AddressClass } from "./egress/address-class.ts";
export { classifyAddress } from "./egress/address-class.ts";
export type { AllowlistEntry, HostMap } from "./egress/allowlist.ts";
export type { EgressDoor, EgressLimits, EgressOptions, EgressRules, EgressService } from "./egress/egress.ts";
export { startEgress } from "./egress/egress.ts";
export type { DnsAnswer, Resolve, ResolverOptions } from "./egress/resolver.ts";
export { createResolver } from "./egress/resolver.ts";
export type { SniPolicy } from "./egress/sni.ts";
export type { VsockProxyAllowlistOptions } from "./egress/vsock-proxy-allowlist.ts";
export { readVsockProxyAllowlist } from "./egress/vsock-proxy-allowlist.ts";
export type { IngressHealth, IngressLimits, IngressOptions, IngressService } from "./ingress/ingress.ts";
export { startIngress } from "./ingress/ingress.ts";
export type { Balance, TargetHealth } from "./ingress/targets.ts";
export type { Backoff } from "./launcher/backoff.ts";
export type { SupervisedLaunch } from "./launcher/image.ts";
export type { NitroLauncherOptions } from "./launcher/nitro.ts";
export { createNitroLauncher } from "./launcher/nitro.ts";
export type { ConnectableOptions } from "./launcher/readiness.ts";
export { whenConnectable } from "./launcher/readiness.ts";
export type { EnclaveRecord } from "./launcher/record.ts";
export { createEnclaveRecord } from "./launcher/record.ts";
export type { Supervisor, SupervisorEvent, SupervisorOptions, SupervisorState } from "./launcher/supervision.ts";
export { createSupervisor } from "./launcher/supervisor.ts";
export type { DeliveryOptions, LogDestination } from "./observability/delivery.ts";
export type { HealthOptions, HealthReport, HealthServer } from "./observability/health.ts";
export { startHealth } from "./observability/health.ts";
export type { LogSink } from "./observability/log-gate.ts";
export type { LogLevel, LogRecord, LogValue } from "./observability/log-record.ts";
export type { LogService, LogSinkOptions } from "./observability/log-sink.ts";
export { startLogSink } from "./observability/log-sink.ts";
export type { ParentFacts } from "./observability/metric-facts.ts";
export type { Metrics, MetricsOptions } from "./observability/metrics.ts";
export { createMetrics } from "./observability/metrics.ts";
export type {
  Direction,
  EgressStats,
  ListeningService,
  ParentEvent,
  ParentEventName,
  ParentLog,
  Service,
  ServiceStats,
  Tap,
} from "./observability/observe.ts";
export type { CloudWatchLogsClient, CloudWatchLogsOptions } from "./observability/to-cloudwatch-logs.ts";
export { toCloudWatchLogs } from "./observability/to-cloudwatch-logs.ts";
export type { FileOptions } from "./observability/to-file.ts";
export { toFile } from "./observability/to-file.ts";
export type { StdoutOptions } from "./observability/to-stdout.ts";
export { toStdout } from "./observability/to-stdout.ts";
export type { Parent, ParentOptions } from "./parent.ts";
export { startParent } from "./parent.ts";
export type { CredentialsPart, EgressPart, Services, ServicesOptions, ServicesStats } from "./services.ts";
export { startServices } from "./services.ts";
