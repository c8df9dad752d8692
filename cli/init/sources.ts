/**
 * The code of a new project: an application of two routes, and a test that runs it as its users do.
 *
 * The test keeps everything in a folder of its own and takes any free port, so that it runs beside `npm start`.
 *
 * @module
 */

export const APP_TS = `import { createHash } from "node:crypto";
import { defineEnclave } from "cloister/enclave";

export const enclave = defineEnclave({
  tls: "attested", // ends in the enclave, under a key that its attestation documents vouch for
  async fetch(request, env) {
    const route = \`\${request.method} \${new URL(request.url).pathname}\`;
    if (route === "GET /") return Response.json({ hello: "from the enclave", at: env.now() });
    if (route === "POST /receipts") {
      // A document that vouches for these bytes: whoever trusts this image can verify it, later and elsewhere.
      const bytes = new Uint8Array(await request.arrayBuffer());
      const digest = new Uint8Array(createHash("sha384").update(bytes).digest());
      return new Response(await env.attest({ purpose: "receipt", digest }));
    }
    return new Response(null, { status: 404 });
  },
});
`;

export const APP_TEST_TS = `import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { env } from "node:process";
import { attestationPolicyFromJson, verifyAttestation } from "cloister/attestation";
import { attestedFetch, createAttestedAgent } from "cloister/client";
import { afterAll, beforeAll, expect, test } from "vitest";

const folder = mkdtempSync(join(tmpdir(), "enclave-"));
const app = join(folder, "app");
const config = join(folder, "parent.yaml");
let parent: ChildProcess | undefined;

/** Builds the image of \`app\` and runs it, as \`npm start\` does; gives its address and what a client demands of it. */
async function start() {
  const child = spawn("cloister", ["parent", "up", "--config", config, "--build", app], {
    env: { ...env, XDG_RUNTIME_DIR: folder },
    stdio: ["ignore", "ignore", "pipe"],
  });
  parent = child;
  const said = await new Promise<string>((resolve, reject) => {
    let text = "";
    child.stderr.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      if (text.includes('"event":"up"')) resolve(text);
    });
    child.once("error", reject).once("exit", () => reject(new Error(\`it ended: \${text}\`)));
  });
  const url = \`https://\${/clients connect to tcp:\\/\\/(\\S+);/.exec(said)?.[1]}\`;
  const json: unknown = JSON.parse(readFileSync(join(folder, "app.eif.policy.json"), "utf8"));
  const policy = attestationPolicyFromJson(json);
  return { url, policy, agent: createAttestedAgent(policy) };
}

async function stop(): Promise<void> {
  if (!parent || parent.exitCode !== null) return;
  const ended = new Promise((resolve) => parent?.once("exit", resolve));
  parent.kill("SIGTERM");
  await ended;
}

let enclave: Awaited<ReturnType<typeof start>>;

beforeAll(async () => {
  cpSync("dist", app, { recursive: true });
  const yaml = readFileSync("parent.yaml", "utf8").replace(/image: .*/, "image: app.eif");
  writeFileSync(config, yaml.replace(/127\\.0\\.0\\.1:\\d+/, "127.0.0.1:0"), { mode: 0o600 });
  enclave = await start();
}, 300_000);

afterAll(async () => {
  await stop();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

test("it answers a client that verified it first", async () => {
  const response = await attestedFetch(\`\${enclave.url}/\`, { agent: enclave.agent });
  expect(await response.json()).toMatchObject({ hello: "from the enclave" });
});

test("its receipt verifies, and vouches for these bytes alone", async () => {
  const body = "what it vouches for";
  const response = await attestedFetch(\`\${enclave.url}/receipts\`, { agent: enclave.agent, method: "POST", body });
  const receipt = new Uint8Array(await response.arrayBuffer());
  const verify = (text: string) => {
    const digest = new Uint8Array(createHash("sha384").update(text).digest());
    const userData = { purpose: "receipt", digest, minimumImageVersion: "unchecked" } as const;
    return verifyAttestation(receipt, { ...enclave.policy, userData, nonce: "unchecked", publicKey: "unchecked" });
  };
  expect((await verify(body)).debug).toBe(false);
  await expect(verify("something else")).rejects.toMatchObject({ code: "ERR_ATTESTATION_USER_DATA_MISMATCH" });
});

test("another image is refused, before it hears the request", async () => {
  enclave.agent.destroy();
  await stop();
  writeFileSync(join(app, "app.mjs"), \`\${readFileSync(join(app, "app.mjs"), "utf8")}\\n// one line more\\n\`);
  const other = await start();
  expect((await attestedFetch(\`\${other.url}/\`, { agent: other.agent })).status).toBe(200);
  other.agent.destroy();
  const asked = attestedFetch(\`\${other.url}/\`, { policy: enclave.policy });
  await expect(asked).rejects.toMatchObject({ code: "ERR_ATTESTATION_PCR_MISMATCH" });
}, 300_000);
`;
