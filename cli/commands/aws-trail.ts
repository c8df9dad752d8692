/**
 * `cloister aws trail`: what was asked of a mock AWS, as CloudTrail tells it.
 *
 * @module
 */
import { oneLine } from "../../mock/aws/iam/explain.ts";
import type { TrailRecord } from "../../mock/aws/index.ts";
import type { Terminal } from "../terminal.ts";
import { askingAws, CONTROL_OPTION } from "./aws-control.ts";

const TRAIL_USAGE = `usage: cloister aws trail [--follow] [options]

  the latest 10 000 calls, oldest first: time, operation, outcome, account, caller, resource, request id
  --follow           goes on with those that come
  --event-name NAME  e.g. Decrypt
  --error-code CODE  e.g. AccessDenied
  --json             one JSON object a line: the CloudTrail event, and the explanation beside it
${CONTROL_OPTION}

  example: cloister aws trail --follow --error-code AccessDenied --json`;

export function awsTrail(args: readonly string[], { print }: Terminal): Promise<number> {
  const string = { type: "string" } as const;
  const options = { follow: { type: "boolean" }, "event-name": string, "error-code": string } as const;
  const command = { usage: TRAIL_USAGE, operands: 0, options };
  return askingAws(args, { command, print }, async ({ values }, ask) => {
    const { "event-name": eventName, "error-code": errorCode, json, follow } = values;
    const query = { eventName, errorCode };
    const show = (record: TrailRecord): void =>
      print(json ? JSON.stringify({ trust: "mock", ...record }) : showRecord(record));
    // Followed before the past is asked for, so that nothing falls between; what is in both is shown once.
    if (follow) await ask("follow", { query });
    const past = await ask<readonly TrailRecord[]>("trail", { query });
    for (const record of past) show(record);
    if (!follow) return 0;
    const shown = new Set(past.map(({ event }) => event.eventID));
    for (;;) {
      const record = await ask<TrailRecord | null>("next");
      if (!record) return 0;
      if (!shown.delete(record.event.eventID)) show(record);
    }
  });
}

export function showRecord({ event }: TrailRecord): string {
  const { eventTime, eventName, errorCode = "ok", recipientAccountId, userIdentity, resources, requestID } = event;
  const caller = userIdentity["arn"] ?? userIdentity["principalId"] ?? userIdentity["invokedBy"];
  const columns = [eventTime, eventName, errorCode, recipientAccountId, caller, resources[0]?.ARN ?? "-", requestID];
  return columns.map((column) => oneLine(String(column))).join("  ");
}
