/**
 * The mock AWS as a process of the benchmark: a key, a ciphertext, and a quota. When its input ends it prints what its
 * audit trail counted.
 *
 *   node dist/bench/kms/emulator.js ROOT          the NSM's root certificate, base64
 *
 * @module
 */
import { Agent } from "node:https";
import { KMS } from "@aws-sdk/client-kms";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { newCredentials } from "../../mock/aws/credentials.ts";
import { startMockAws } from "../../mock/aws/index.ts";
import { BURST_PER_SECOND, type EmulatorCount, type EmulatorReady } from "./names.ts";

const REGION = "us-east-1";
const credentials = newCredentials();
const policy = { Version: "2012-10-17", Statement: { Effect: "Allow", Action: "kms:*", Resource: "*" } } as const;
const role = { type: "role", name: "bench", identityPolicies: [policy], credentials: [credentials] } as const;
const aws = await startMockAws({
  accounts: [{ accountId: "111122223333", principals: [role] }],
  regions: [REGION],
  attestationRoots: [Uint8Array.from(Buffer.from(process.argv[2] ?? "", "base64"))],
});
const requestHandler = new NodeHttpHandler({ httpsAgent: new Agent({ ca: aws.caCertificatePem }) });
const kms = new KMS({ region: REGION, endpoint: aws.url, credentials, requestHandler });
const keyArn = (await kms.createKey({})).KeyMetadata?.Arn ?? "";
const { CiphertextBlob = new Uint8Array(0) } = await kms.encrypt({ KeyId: keyArn, Plaintext: new Uint8Array(32) });
aws.setQuotas({ "Cryptographic operations (symmetric) request rate": BURST_PER_SECOND });
const { url, caCertificatePem } = aws;
const ready: EmulatorReady = {
  ...{ url, caCertificatePem, credentials, keyArn },
  blob: Buffer.from(CiphertextBlob).toString("base64"),
};
process.stdout.write(`${JSON.stringify(ready)}\n`);
process.stdin
  .on("end", () => {
    const counted = (errorCode: string | null): number => aws.trail({ eventName: "Decrypt", errorCode }).length;
    const count: EmulatorCount = { accepted: counted(null), throttled: counted("ThrottlingException") };
    process.stdout.write(`${JSON.stringify(count)}\n`, () => process.exit(0));
  })
  .resume();
