/**
 * `cloister aws status`: what a running mock AWS says of itself.
 *
 * @module
 */
import type { MockAwsStatus } from "../../mock/aws/index.ts";
import type { Terminal } from "../terminal.ts";
import { askingAws, CONTROL_OPTION } from "./aws-control.ts";

const STATUS_USAGE = `usage: cloister aws status [--control SOCKET] [--json]

  where the mock AWS is, who is in it, what it trusts and what time it thinks it is
${CONTROL_OPTION}

  example: cloister aws status --json`;

export function awsStatus(args: readonly string[], { print }: Terminal): Promise<number> {
  const command = { usage: STATUS_USAGE, operands: 0 };
  return askingAws(args, { command, print }, async ({ values }, ask) => {
    const status = await ask<MockAwsStatus>("status");
    print(values["json"] ? JSON.stringify(status) : showStatus(status));
    return 0;
  });
}

function showStatus(status: MockAwsStatus): string {
  const { url, regions, now, state, accounts, keys, sessions, attestationRoots, quotas, throttled } = status;
  const shownQuotas = typeof quotas === "string" ? quotas : JSON.stringify(quotas);
  return [
    `mock AWS at ${url}`,
    `  regions   ${regions.join(" ")}`,
    `  clock     ${now}`,
    `  state     ${state === "durable" ? "durable" : "in memory"}: ${keys} keys; ${sessions} sessions`,
    `  quotas    ${shownQuotas}, ${throttled} requests refused`,
    `  trail     ${status.trailRecords} records`,
    ...(attestationRoots.length === 0 ? ["  roots     none: every attestation document is refused"] : []),
    ...attestationRoots.map((sha256) => `  root      SHA-256 ${sha256}`),
    ...accounts.flatMap(({ accountId, partition, principals }) => [
      `  account   ${accountId} (${partition})`,
      ...principals.map(({ arn, accessKeyIds }) => `    ${[arn, ...accessKeyIds].join("  ")}`),
    ]),
  ].join("\n");
}
