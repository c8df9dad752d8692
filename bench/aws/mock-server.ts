/**
 * The mock AWS as a process of the benchmark: prepared, it prints what the load needs, and runs until its input ends.
 *
 *   node dist/bench/aws/mock-server.js tls|plain
 *
 * @module
 */
import { generateKeyPairSync } from "node:crypto";
import { newCredentials } from "../../mock/aws/credentials.ts";
import { startMockAws } from "../../mock/aws/index.ts";
import { createMockNsm } from "../../mock/nsm/index.ts";
import { utf8 } from "../../shared/bytes.ts";
import { measureEif } from "../../shared/eif/measure.ts";

const started = performance.now();
const credentials = newCredentials();
const measurements = await measureEif({ kernel: utf8("k"), cmdline: utf8("c"), ramdisks: [utf8("i"), utf8("a")] });
const { device, rootCertificate } = await createMockNsm({ measurements });
const { publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const spki = publicKey.export({ format: "der", type: "spki" });
const document = await device.attest({ publicKey: spki });
const allow = { Effect: "Allow", Action: "kms:*", Resource: "*" } as const;
const beforeStart = performance.now();
const aws = await startMockAws({
  accounts: [
    {
      accountId: "111122223333",
      principals: [
        {
          type: "role",
          name: "bench",
          identityPolicies: [{ Version: "2012-10-17", Statement: allow }],
          credentials: [credentials],
        },
      ],
    },
  ],
  regions: ["us-east-1"],
  attestationRoots: [rootCertificate],
  tls: process.argv[2] !== "plain",
});
const ready = performance.now();
const { port, caCertificatePem } = aws;
process.stdout.write(
  `${JSON.stringify({
    port,
    caCertificatePem,
    credentials,
    document: Buffer.from(document).toString("base64"),
    spki: Buffer.from(spki).toString("base64"),
    startMs: ready - beforeStart,
    processMs: ready - started,
  })}\n`,
);
process.stdin.on("end", () => void aws.close().then(() => process.exit(0))).resume();
