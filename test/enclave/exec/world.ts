/** What the tests of programs share: an enclave between a parent, a software NSM and a mock AWS, and a folder to write to. */
import { once } from "node:events";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import { join } from "node:path";
import { KMS } from "@aws-sdk/client-kms";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { type ExecDefinition, type RunningExec, startExec } from "../../../enclave/exec/start.ts";
import { type MockAws, newCredentials, startMockAws } from "../../../mock/testing.ts";
import { toHex } from "../../../shared/bytes.ts";
import { attestedKeyPolicy } from "../../../shared/policy/key-policy.ts";
import { makeCa, type TestCa } from "../../parent/pki.ts";
import { scratchFolder } from "../../transport/streams.ts";
import { cleanup, makeWorld, measurements, transport, type World } from "../app/world.ts";

const OWNER = "111122223333";
const OPERATOR = "777788889999";
export const REGION = "eu-central-1";
export const session = newCredentials();
const sealer = newCredentials();
const scratch = scratchFolder();

const role = (name: string, credentials: typeof session) => ({
  type: "role" as const,
  name,
  identityPolicies: [
    { Version: "2012-10-17" as const, Statement: [{ Effect: "Allow" as const, Action: "kms:*", Resource: "*" }] },
  ],
  credentials: [credentials],
});

export interface Cloud {
  readonly aws: MockAws;
  readonly keyArn: string;
  readonly kms: KMS;
  readonly ca: TestCa;
  /** `https://echo.example`. */
  readonly echo: Server;
  close(): Promise<void>;
}

export async function startCloud(): Promise<Cloud> {
  const ca = await makeCa("a root");
  const aws = await startMockAws({
    regions: [REGION],
    attestationRoots: [],
    accounts: [
      { accountId: OWNER, principals: [role("sealer", sealer)] },
      { accountId: OPERATOR, principals: [role("enclave", session)] },
    ],
  });
  const requestHandler = new NodeHttpHandler({ httpsAgent: { ca: aws.caCertificatePem } as never });
  const kms = new KMS({ region: REGION, endpoint: aws.url, credentials: sealer, maxAttempts: 1, requestHandler });
  const { pcr0, pcr1, pcr2 } = measurements;
  const policy = attestedKeyPolicy({
    administrator: `arn:aws:iam::${OWNER}:role/sealer`,
    sealer: `arn:aws:iam::${OWNER}:role/sealer`,
    enclaveRole: `arn:aws:iam::${OPERATOR}:role/enclave`,
    image: { pcr0: toHex(pcr0), pcr1: toHex(pcr1), pcr2: toHex(pcr2) },
  });
  // The enclave makes data keys as well, under the same conditions.
  const Statement = policy.Statement.map((each) =>
    each.Sid === "ReleaseToMeasuredCode" ? { ...each, Action: [...each.Action, "kms:GenerateDataKey"] } : each,
  );
  const keyArn = (await kms.createKey({ Policy: JSON.stringify({ ...policy, Statement }) })).KeyMetadata?.Arn ?? "";
  const echo = createServer(await ca.issue("echo.example"), (incoming, outgoing) => incoming.pipe(outgoing));
  echo.listen(0, "127.0.0.1");
  await once(echo, "listening");
  return {
    ...{ aws, keyArn, kms, ca, echo },
    async close() {
      echo.close();
      echo.closeAllConnections();
      await aws.close();
    },
  };
}

export interface Place {
  readonly world: World;
  readonly folder: string;
  /** Starts a program; it finds the folder as `$OUT`. */
  launch(definition: Pick<ExecDefinition, "command"> & Partial<ExecDefinition>): Promise<RunningExec>;
  read(name: string): string;
  write(name: string, text: string): void;
}

export async function makePlace({ aws, ca, echo }: Cloud): Promise<Place> {
  const hosts = {
    [`kms.${REGION}.amazonaws.com:443`]: Number(new URL(aws.url).port),
    "echo.example:443": (echo.address() as { port: number }).port,
  };
  const credentials = {
    ...{ AccessKeyId: session.accessKeyId, SecretAccessKey: session.secretAccessKey, Token: session.sessionToken },
    Expiration: "2099-01-01T00:00:00Z",
  };
  const world = await makeWorld({ ca, hosts, tlsRoots: [aws.caCertificatePem], credentials });
  aws.setAttestationRoots([world.nsm.rootCertificate]);
  const folder = mkdtempSync(join(scratch, "out-"));
  return {
    ...{ world, folder },
    async launch({ environment, ...definition }) {
      const told = { OUT: folder, ...environment };
      const running = await startExec(
        { forward: "off", ...definition, environment: told },
        { platform: world.platform, config: {}, transport },
      );
      cleanup(async () => {
        running.signal("SIGKILL");
        await running.ended;
      });
      return running;
    },
    read: (name) => readFileSync(join(folder, name), "utf8"),
    write: (name, text) => writeFileSync(join(folder, name), text),
  };
}
