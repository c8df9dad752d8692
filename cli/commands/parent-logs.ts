/**
 * Where the logs of `parent.yaml` go: the enclave's to its destination, the parent's own to standard error.
 *
 * @module
 */
import type { LogsConfig } from "../../parent/config/parent-config.ts";
import type { LogDestination } from "../../parent/observability/delivery.ts";
import { type CloudWatchLogsClient, toCloudWatchLogs } from "../../parent/observability/to-cloudwatch-logs.ts";
import { toFile } from "../../parent/observability/to-file.ts";
import { toStdout } from "../../parent/observability/to-stdout.ts";
import { ConfigError } from "../../shared/errors/index.ts";

export async function openLogs(logs: LogsConfig): Promise<LogDestination> {
  switch (logs.to) {
    case "stdout":
      return toStdout();
    case "file":
      return toFile(logs.file, { maxBytes: logs.maxBytes, keep: logs.keep });
    case "cloudwatch":
      return toCloudWatchLogs({ client: await cloudWatch(logs.region), group: logs.group, stream: logs.stream });
    default:
      throw new TypeError(`no such destination: ${JSON.stringify(logs satisfies never)}`);
  }
}

async function cloudWatch(region: string | undefined): Promise<CloudWatchLogsClient> {
  const name = "@aws-sdk/client-cloudwatch-logs";
  try {
    const { CloudWatchLogs } = await import("@aws-sdk/client-cloudwatch-logs");
    return new CloudWatchLogs(region === undefined ? {} : { region });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND") throw cause;
    throw new ConfigError("ERR_CONFIG_PACKAGE", { package: name, neededFor: "logs to cloudwatch" }, { cause });
  }
}
