/**
 * The enclave's KMS client as it is used: through the parent's proxy, over TLS that ends in the enclave.
 *
 * Rows K37 (whom TLS believes), K40 (whose credentials), K41 (whose clock).
 */
import { execFile } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { build } from "esbuild";
import { beforeAll, describe, expect, test } from "vitest";
import { createEgressAgent } from "../../../enclave/egress/agent.ts";
import { type AttestedKmsOptions, createAttestedKms } from "../../../enclave/kms/client.ts";
import { type Identity, pinnedRole } from "../../../enclave/kms/role.ts";
import { createMockNsm, newCredentials, startMockAws } from "../../../mock/testing.ts";
import { startEgress } from "../../../parent/egress/egress.ts";
import { addressOf, type Peer } from "../../../shared/transport/address.ts";
import { EGRESS_PORT } from "../../../shared/transport/ports.ts";
import { createTransport } from "../../../transport/create.ts";
import { scratchFolder } from "../../transport/streams.ts";
import { type Authority, makeAuthority, selfSigned } from "./certificates.ts";
import {
  type Asked,
  countingNsm,
  honest,
  KEY,
  REGION,
  type Reply,
  restless,
  SECRET,
  sharedKeys,
  startDouble,
  verdict,
} from "./double.ts";

const [KMS_HOST, STS_HOST] = [`kms.${REGION}.amazonaws.com`, `sts.${REGION}.amazonaws.com`];
const OWNER = "111122223333";
const folder = scratchFolder();
const transport = createTransport();

interface Ports {
  readonly kms: number;
  readonly sts?: number;
}

/** A parent that leads the enclave to these ports of this machine, and an agent that believes these roots. */
async function throughParent({ kms, sts = kms }: Ports, tlsRoots: readonly string[]) {
  const parent: Peer = { kind: "unix", folder: mkdtempSync(join(folder, "p")) };
  const proxy = await startEgress({
    ...{ transport, address: addressOf(parent, EGRESS_PORT), log: () => {} },
    allowlist: [`${KMS_HOST}:443`, `${STS_HOST}:443`],
    hosts: { [`${KMS_HOST}:443`]: `127.0.0.1:${kms}`, [`${STS_HOST}:443`]: `127.0.0.1:${sts}` },
  });
  const agent = createEgressAgent({ transport, parent, tlsRoots });
  return {
    ...{ parent, agent },
    [Symbol.asyncDispose]: async () => {
      agent.destroy();
      await proxy.close();
    },
  };
}

const session = newCredentials();

function options(changes: Partial<AttestedKmsOptions> & Pick<AttestedKmsOptions, "agent">): AttestedKmsOptions {
  const common = { region: REGION, credentials: session, nsm: countingNsm(), keys: sharedKeys, timing: restless() };
  return { ...common, ...changes };
}

interface Decryption {
  readonly keyArn: string;
  readonly blob: Uint8Array;
}
const ANY: Decryption = { keyArn: KEY, blob: Uint8Array.of(1) };

async function decrypt(of: AttestedKmsOptions, { keyArn, blob }: Decryption = ANY): Promise<string> {
  const { Plaintext } = await createAttestedKms(of).decrypt({ KeyId: keyArn, CiphertextBlob: blob });
  return Buffer.from(Plaintext ?? []).toString();
}

let authority: Authority;
let another: Authority;
beforeAll(async () => {
  [authority, another] = await Promise.all([makeAuthority("the root"), makeAuthority("another root")]);
});

describe("K37: whom TLS believes", () => {
  const OLD_TLS = { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" } as const;
  const SERVERS: Readonly<Record<string, () => Promise<object>>> = {
    "a certificate for another host": () => authority.issue("kms.us-east-1.amazonaws.com"),
    "one for a name under ours": () => authority.issue(`x.${KMS_HOST}`),
    "a self-signed one": () => selfSigned(KMS_HOST),
    "one of a root that is not ours": () => another.issue(KMS_HOST),
    "one that has expired": () => authority.issue(KMS_HOST, -60_000),
    "TLS 1.1": async () => ({ ...(await authority.issue(KMS_HOST)), ...OLD_TLS }),
  };

  async function outcome(
    server: object,
    env: Readonly<Record<string, string>> = {},
  ): Promise<[string, number, number]> {
    await using double = await startDouble((asked) => honest(asked), server);
    await using way = await throughParent({ kms: double.port }, [authority.root]);
    const before = { ...process.env };
    Object.assign(process.env, env);
    try {
      return [await verdict(decrypt(options({ agent: way.agent }))), double.asked.length, double.connections()];
    } finally {
      for (const name of Object.keys(env)) delete process.env[name];
      Object.assign(process.env, before);
    }
  }

  test("K37: the right certificate is believed, and the parent's switches change nothing", async () => {
    const server = await authority.issue(KMS_HOST);
    expect(await outcome(server)).toEqual([SECRET, 1, 1]);
    const misleading = {
      HTTPS_PROXY: "http://127.0.0.1:1",
      AWS_ENDPOINT_URL: "http://127.0.0.1:1",
      AWS_REGION: "xx-no-1",
    };
    expect(await outcome(server, misleading)).toEqual([SECRET, 1, 1]);
  });

  test.each(Object.keys(SERVERS))("K37: %s is refused, not tried again, and told nothing", async (name) => {
    const server = (await SERVERS[name]?.()) ?? {};
    expect(await outcome(server)).toEqual(["ERR_TRANSPORT_TLS_REFUSED", 0, 1]);
    const switches = { NODE_TLS_REJECT_UNAUTHORIZED: "0", HTTPS_PROXY: "http://127.0.0.1:1" };
    expect(await outcome(server, switches)).toEqual(["ERR_TRANSPORT_TLS_REFUSED", 0, 1]);
  });

  test("K37: roots and switches from a process's environment do not widen trust", async () => {
    await using double = await startDouble((asked) => honest(asked), await another.issue(KMS_HOST));
    await using way = await throughParent({ kms: double.port }, [authority.root]);
    const [module, script, extra] = ["client.mjs", "decrypt.mjs", "extra.pem"].map((name) => join(folder, name));
    await build({
      stdin: {
        contents: `export { createAttestedKms } from "./enclave/kms/client.ts";
          export { createEgressAgent } from "./enclave/egress/agent.ts";
          export { createTransport } from "./transport/create.ts";`,
        resolveDir: process.cwd(),
        loader: "ts",
      },
      ...{ bundle: true, platform: "node", format: "esm", outfile: module ?? "", logLevel: "error" },
      banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
    });
    writeFileSync(extra ?? "", another.root);
    writeFileSync(
      script ?? "",
      `import { createAttestedKms, createEgressAgent, createTransport } from ${JSON.stringify(module)};
       const [folder, root, region, KeyId] = process.argv.slice(2);
       const parent = { kind: "unix", folder };
       const agent = createEgressAgent({ transport: createTransport(), parent, tlsRoots: [root] });
       const note = (publicKey) => Buffer.from(JSON.stringify({ publicKey: Buffer.from(publicKey).toString("base64") }));
       const nsm = { attest: async ({ publicKey }) => note(publicKey) };
       const kms = createAttestedKms({ region, agent, nsm, credentials: { accessKeyId: "A", secretAccessKey: "s" } });
       const done = (text) => { console.log(text); process.exit(0); };
       kms.decrypt({ KeyId, CiphertextBlob: Buffer.of(1) }).then(() => done("opened"), (error) => done(error.code));`,
    );
    const attempt = async (root: string): Promise<string> => {
      const env = { PATH: process.env["PATH"] ?? "", NODE_EXTRA_CA_CERTS: extra, SSL_CERT_FILE: extra };
      const switches = { NODE_TLS_REJECT_UNAUTHORIZED: "0", HTTPS_PROXY: "http://127.0.0.1:1" };
      const args = [script ?? "", way.parent.kind === "unix" ? way.parent.folder : "", root, REGION, KEY];
      const { stdout } = await promisify(execFile)(process.execPath, args, { env: { ...env, ...switches } });
      return stdout.trim();
    };
    expect(await attempt(another.root), "the way is open to who believes that root").toBe("opened");
    expect(await attempt(authority.root)).toBe("ERR_TRANSPORT_TLS_REFUSED");
  }, 60_000);
});

/** The emulated AWS behind the parent, with a role for the enclave and another. */
async function emulated({ skewMs = 0 }: { readonly skewMs?: number } = {}) {
  const pcr = (byte: number): Uint8Array => new Uint8Array(48).fill(byte);
  const measurements = { pcr0: pcr(1), pcr1: pcr(2), pcr2: pcr(3) };
  // The hypervisor's clock is KMS's; it is the enclave's own that is off.
  const nsm = await createMockNsm({ measurements, now: () => new Date(Date.now() + skewMs) });
  const [enclave, other] = [newCredentials(), newCredentials()];
  const allow = { Version: "2012-10-17", Statement: [{ Effect: "Allow", Action: "kms:*", Resource: "*" }] } as const;
  const role = (name: string, credentials: typeof enclave) =>
    ({ type: "role", name, identityPolicies: [allow], credentials: [credentials] }) as const;
  const aws = await startMockAws({
    ...{ regions: [REGION], attestationRoots: [nsm.rootCertificate] },
    accounts: [{ accountId: OWNER, principals: [role("enclave", enclave), role("enclave-2", other)] }],
  });
  const way = await throughParent({ kms: aws.port }, [aws.caCertificatePem]);
  const common = { agent: way.agent, nsm: nsm.device };
  const admin = createAttestedKms(options({ ...common, credentials: enclave }));
  const keyArn = (await admin.createKey({})).KeyMetadata?.Arn ?? "";
  const { CiphertextBlob: blob = new Uint8Array(0) } = await admin.encrypt({
    KeyId: keyArn,
    Plaintext: Buffer.from(SECRET),
  });
  aws.setClockOffsetMs(skewMs);
  return {
    ...{ aws, enclave, other, sealed: { keyArn, blob } },
    options: (changes: Partial<AttestedKmsOptions> = {}) => options({ ...common, credentials: enclave, ...changes }),
    [Symbol.asyncDispose]: async () => {
      await way[Symbol.asyncDispose]();
      await aws.close();
    },
  };
}

describe("K40: whose credentials", () => {
  const expectedRoleArn = `arn:aws:iam::${OWNER}:role/enclave`;

  test("K40: those of the expected role are used, and STS is asked once", async () => {
    await using world = await emulated();
    const kms = createAttestedKms(world.options({ expectedRoleArn }));
    const { keyArn: KeyId, blob: CiphertextBlob } = world.sealed;
    const call = async () => Buffer.from((await kms.decrypt({ KeyId, CiphertextBlob })).Plaintext ?? []).toString();
    expect(await Promise.all([call(), call()])).toEqual([SECRET, SECRET]);
    expect(world.aws.trail({ eventName: "GetCallerIdentity" }).length).toBe(1);
  });

  test("K40: those of another role are refused before KMS hears of the call", async () => {
    await using world = await emulated();
    const credentials = world.other;
    expect(await verdict(decrypt(world.options({ credentials }), world.sealed)), "unless a role is pinned").toBe(
      SECRET,
    );
    const before = world.aws.trail({ eventName: "Decrypt" }).length;
    const pinned = decrypt(world.options({ credentials, expectedRoleArn }), world.sealed);
    await expect(pinned).rejects.toMatchObject({
      code: "ERR_KMS_ROLE_MISMATCH",
      details: { expected: expectedRoleArn, actual: expect.stringContaining("assumed-role/enclave-2/") },
    });
    expect(world.aws.trail({ eventName: "Decrypt" }).length).toBe(before);
  });

  const identity = (accessKeyId: string): Identity => ({ accessKeyId, secretAccessKey: "s", sessionToken: "t" });
  const asked = (callerArn: string, role = expectedRoleArn): Promise<string> =>
    pinnedRole({ credentials: identity("A"), expectedRoleArn: role, callerArn: async () => callerArn })().then(
      ({ accessKeyId }) => accessKeyId,
      (error: { code: string }) => error.code,
    );

  test.each([
    ["a session of the role", `arn:aws:sts::${OWNER}:assumed-role/enclave/i-0`, "A"],
    [
      "another account's role of that name",
      "arn:aws:sts::999999999999:assumed-role/enclave/i-0",
      "ERR_KMS_ROLE_MISMATCH",
    ],
    ["another partition's", `arn:aws-cn:sts::${OWNER}:assumed-role/enclave/i-0`, "ERR_KMS_ROLE_MISMATCH"],
    ["a longer name", `arn:aws:sts::${OWNER}:assumed-role/enclave-2/i-0`, "ERR_KMS_ROLE_MISMATCH"],
    ["a user of that name", `arn:aws:iam::${OWNER}:user/enclave`, "ERR_KMS_ROLE_MISMATCH"],
    ["the account's root", `arn:aws:iam::${OWNER}:root`, "ERR_KMS_ROLE_MISMATCH"],
    ["nobody", "nobody", "ERR_KMS_ROLE_MISMATCH"],
  ])("K40: %s", async (_, callerArn, wanted) => {
    expect(await asked(callerArn)).toBe(wanted);
    expect(
      await asked(callerArn, `arn:aws:iam::${OWNER}:role/service/path/enclave`),
      "a path is not in its sessions",
    ).toBe(wanted);
  });

  test("new credentials are asked about anew, and a question that failed is asked again", async () => {
    const questions: string[] = [];
    let current = "A";
    let isDown = true;
    const provider = pinnedRole({
      expectedRoleArn,
      credentials: async () => identity(current),
      callerArn: async ({ accessKeyId }) => {
        questions.push(accessKeyId);
        if (isDown) throw new Error("no STS");
        return `arn:aws:sts::${OWNER}:assumed-role/enclave/i-0`;
      },
    });
    await expect(provider()).rejects.toThrow("no STS");
    isDown = false;
    for (current of ["A", "A", "B", "B"]) await provider();
    expect(questions).toEqual(["A", "A", "B"]);
  });

  test.each(["enclave", `arn:aws:iam::${OWNER}:user/enclave`, `arn:aws:iam::${OWNER}:role/*`, ""])(
    "%j is not the ARN of a role",
    (role) => {
      expect(() => pinnedRole({ credentials: session, expectedRoleArn: role, callerArn: async () => "" })).toThrow(
        TypeError,
      );
    },
  );
});

describe("K41: whose clock", () => {
  test.each([20 * 60_000, -20 * 60_000])(
    "K41: %i ms off, the second attempt is signed with KMS's time",
    async (skewMs) => {
      await using world = await emulated({ skewMs });
      const kms = createAttestedKms(world.options());
      const { keyArn: KeyId, blob: CiphertextBlob } = world.sealed;
      const call = async () => (await kms.decrypt({ KeyId, CiphertextBlob })).$metadata.attempts;
      expect(await call()).toBe(2);
      expect(await call()).toBe(1);
      expect(Math.abs(kms.config.systemClockOffset - skewMs)).toBeLessThan(30_000);
    },
  );

  test.each([2 * 3_600_000, -2 * 3_600_000])(
    "K41: %i ms off is more than is corrected, and is refused by name",
    async (skewMs) => {
      await using world = await emulated({ skewMs });
      const refused = decrypt(world.options(), world.sealed);
      await expect(refused).rejects.toMatchObject({ code: "ERR_KMS_CLOCK_SKEW", details: { maximumMs: 3_600_000 } });
    },
  );

  test("K41: a KMS that goes on refusing the time is asked twice", async () => {
    const date = new Date(Date.now() + 1_200_000).toUTCString();
    const body = JSON.stringify({ __type: "InvalidSignatureException", message: "Signature not yet current" });
    const always = { status: 400, body, headers: { date } };
    await using double = await startDouble(() => always, await authority.issue(KMS_HOST));
    await using way = await throughParent({ kms: double.port }, [authority.root]);
    expect(await verdict(decrypt(options({ agent: way.agent })))).toBe("ERR_KMS_REFUSED");
    expect(double.asked.length).toBe(2);
  });

  test("K41: KMS's time is not that of certificates", async () => {
    // By KMS's time, which the first answer tells, the second server's certificate would still be valid.
    const anHourAgo = new Date(Date.now() - 3_000_000).toUTCString();
    const late = (asked: Asked): Reply => ({ ...honest(asked), headers: { date: anHourAgo } });
    await using first = await startDouble(late, await authority.issue(KMS_HOST));
    await using way = await throughParent({ kms: first.port }, [authority.root]);
    const kms = createAttestedKms(options({ agent: way.agent }));
    await kms.decrypt({ KeyId: KEY, CiphertextBlob: ANY.blob });
    expect(kms.config.systemClockOffset).toBeLessThan(-2_900_000);
    await using second = await startDouble((asked) => honest(asked), await authority.issue(KMS_HOST, -600_000));
    await using wayToIt = await throughParent({ kms: second.port }, [authority.root]);
    const expired = createAttestedKms(options({ agent: wayToIt.agent }));
    expired.config.systemClockOffset = kms.config.systemClockOffset;
    const call = expired.decrypt({ KeyId: KEY, CiphertextBlob: ANY.blob });
    await expect(call).rejects.toMatchObject({
      code: "ERR_TRANSPORT_TLS_REFUSED",
      details: { reason: "CERT_HAS_EXPIRED" },
    });
    expect(second.asked.length).toBe(0);
  });
});

test.each(["eu-central", "eu-central-1.evil.test", "", "EU-CENTRAL-1"])("%j is not a region", async (region) => {
  await using way = await throughParent({ kms: 1 }, [authority.root]);
  expect(() => createAttestedKms(options({ agent: way.agent, region }))).toThrow(TypeError);
});
