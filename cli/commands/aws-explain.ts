/**
 * `cloister aws explain`: why a call went as it did.
 *
 * @module
 */
import { explainDecision, oneLine } from "../../mock/aws/iam/explain.ts";
import type { AttestationOutcome, TrailRecord } from "../../mock/aws/index.ts";
import { EXIT_CODES } from "../../shared/errors/index.ts";
import { type Terminal, UsageError } from "../terminal.ts";
import { askingAws, CONTROL_OPTION } from "./aws-control.ts";

const EXPLAIN_USAGE = `usage: cloister aws explain [--request-id ID | --last-denied] [--control SOCKET] [--json]

  which statement allowed or denied a call, which condition failed with what was expected and what came, and what
  became of its attestation document; the last call if none is named
  --request-id ID    as the client's error shows it
  --last-denied      the last one that a policy denied or whose attestation document was refused
${CONTROL_OPTION}

  example: cloister aws explain --last-denied`;

export function awsExplain(args: readonly string[], { print, tell }: Terminal): Promise<number> {
  const options = { "request-id": { type: "string" }, "last-denied": { type: "boolean" } } as const;
  const command = { usage: EXPLAIN_USAGE, operands: 0, options };
  return askingAws(args, { command, print }, async ({ values }, ask) => {
    const { "request-id": requestId, "last-denied": lastDenied, json } = values;
    if (requestId !== undefined && lastDenied)
      throw new UsageError("--request-id and --last-denied do not go together", EXPLAIN_USAGE);
    const record = await ask<TrailRecord | null>("explain", { requestId, lastDenied });
    if (!record) {
      tell("cloister: error: the trail holds no such call");
      return EXIT_CODES.usage;
    }
    print(json ? JSON.stringify({ trust: "mock", ...record }) : showExplanation(record));
    return 0;
  });
}

export function showExplanation({ event, explanation }: TrailRecord): string {
  const { eventName, eventTime, errorCode, errorMessage, requestID, userIdentity, resources } = event;
  const { attestation, decision, summary } = explanation;
  const caller = userIdentity["arn"] ?? userIdentity["principalId"] ?? userIdentity["invokedBy"];
  return [
    [eventName, eventTime, errorCode ?? "succeeded"].map(oneLine).join("  "),
    `  request      ${oneLine(requestID)}`,
    `  caller       ${oneLine(String(caller))}`,
    ...resources.map(({ ARN }) => `  resource     ${oneLine(ARN)}`),
    ...(errorMessage ? [`  answer       ${oneLine(errorMessage)}`] : []),
    `  attestation  ${oneLine(showAttestation(attestation))}`,
    ...(attestation.kind === "verified"
      ? Object.entries(attestation.pcrs).map(([name, value]) => `    ${oneLine(name).padEnd(12)} ${oneLine(value)}`)
      : []),
    decision ? explainDecision(decision) : oneLine(summary),
  ].join("\n");
}

function showAttestation(outcome: AttestationOutcome): string {
  switch (outcome.kind) {
    case "absent":
      return "no document came with the call";
    case "refused":
      return `refused: ${outcome.reason} [${outcome.code}]`;
    case "verified":
      return `verified: ${outcome.moduleId}, of ${outcome.timestamp}`;
    default:
      return outcome satisfies never;
  }
}
