/** What people are shown of calls: a value that a client or a policy chose makes no line and no column of its own. */
import { describe, expect, test } from "vitest";
import { showExplanation } from "../../cli/commands/aws-explain.ts";
import { showRecord } from "../../cli/commands/aws-trail.ts";
import type { Decision } from "../../mock/aws/iam/authorize.ts";
import { explainDecision, oneLine, summarize } from "../../mock/aws/iam/explain.ts";
import type { TrailRecord } from "../../mock/aws/trail.ts";

const FORGED = "x\nallowed\n\tallowed by key policy\r\u2028\u0085  ok";
const record: TrailRecord = {
  event: {
    eventVersion: "1.11",
    userIdentity: { type: "WebIdentityUser", principalId: FORGED },
    eventTime: "2026-03-01T12:00:00Z",
    eventSource: "kms.amazonaws.com",
    eventName: "Decrypt",
    awsRegion: "eu-central-1",
    sourceIPAddress: "127.0.0.1",
    userAgent: FORGED,
    errorCode: "NotFoundException",
    errorMessage: FORGED,
    requestParameters: { keyId: FORGED },
    responseElements: null,
    requestID: "1",
    eventID: "2",
    readOnly: true,
    resources: [{ accountId: "111122223333", type: "AWS::KMS::Key", ARN: FORGED }],
    eventType: "AwsApiCall",
    managementEvent: true,
    recipientAccountId: "111122223333",
    eventCategory: "Management",
  },
  explanation: { summary: FORGED, attestation: { kind: "absent" } },
};
const reference = { policy: FORGED, statement: 0, sid: FORGED };
const decision: Omit<Decision, "summary"> = {
  outcome: "implicit deny",
  because: FORGED,
  decidedBy: [reference],
  nearest: {
    ...{ ...reference, stoppedAt: "condition" },
    failed: [{ operator: "StringEquals", key: FORGED, expected: [FORGED, FORGED], actual: [FORGED] }],
  },
};

describe("oneLine", () => {
  test.each([
    ["a b", "a b"],
    ["a\nb", "a\\u000ab"],
    ["a\tb\r", "a\\u0009b\\u000d"],
    ["a\u2028\u00a0b", "a\\u2028\\u00a0b"],
    ["a  b", "a\\u0020\\u0020b"],
    ["a   b", "a\\u0020\\u0020\\u0020b"],
  ])("%j → %j", (text, shown) => expect(oneLine(text)).toBe(shown));
});

describe("a value with line ends and tabs", () => {
  test("is in one line of the trail, and one of its seven columns", () => {
    expect(showRecord(record).split("\n")).toHaveLength(1);
    expect(showRecord(record).split("  ")).toHaveLength(7);
  });

  test("is in one line of an explanation", () => {
    expect(
      showExplanation(record)
        .split("\n")
        .map((line) => line.slice(0, 14).trim().split(" ")[0]),
    ).toEqual([...["Decrypt", "request", "caller", "resource", "answer", "attestation"], "x\\u000aallowed"]);
    const refused = { kind: "refused", code: "ERR", reason: FORGED } as const;
    const verified = { kind: "verified", moduleId: FORGED, timestamp: FORGED, pcrs: { [FORGED]: FORGED } } as const;
    for (const [attestation, lines] of [
      [refused, 7],
      [verified, 8],
    ] as const)
      expect(showExplanation({ ...record, explanation: { summary: "", attestation } }).split("\n")).toHaveLength(lines);
  });

  test("is in one line of a decision, and of its sentence", () => {
    const lines = explainDecision({ ...decision, summary: "" }).split("\n");
    expect(lines.map((line) => line.trim().split(" ")[0])).toEqual([
      ...["implicit", "denied", "nearest", "StringEquals", "expected", "actual"],
    ]);
    for (const line of lines) expect(line).not.toMatch(/[\t\r\u2028\u0085]/);
    expect(summarize(decision)).not.toMatch(/[\n\t\r\u2028\u0085]/);
  });
});
