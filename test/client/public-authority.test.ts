/**
 * A parent with a certificate of an authority that the client's host trusts: a process whose store holds that authority, as
 * every host's holds the public ones. Plain `fetch` believes the parent there, `attestedFetch` does not.
 */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as tlsConnect } from "node:tls";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { IMAGE, type Listening, pki, type ServedEnclave, serveEnclave, serveTls } from "../enclave/tls/bed.ts";
import { makeCa } from "../parent/pki.ts";

const SECRET = "canary-of-the-request";
const run = promisify(execFile);

/** Asks both ways, and prints what came of each. */
const PROGRAM = `
import { attestedFetch } from "./client/attested-fetch.ts";
import { dangerouslyTrustRoot } from "./shared/attestation/index.ts";
const { url, root, image } = JSON.parse(process.argv[2]);
const roots = [dangerouslyTrustRoot(Buffer.from(root, "base64"))];
const policy = { kind: "nsm", roots, images: [image], maxAgeMs: 60_000 };
const say = async (attempt) => attempt.then((response) => response.status, (error) => error.code ?? error.cause?.code);
const init = { method: "POST", body: "${SECRET}" };
const plain = await say(fetch(url + "/plain", init));
const attested = await say(attestedFetch(url + "/attested", { policy, ...init }));
console.log(JSON.stringify({ plain, attested }));
process.exit();
`;

describe("a host that trusts the authority of the parent's certificate", () => {
  const folder = mkdtempSync(join(tmpdir(), "authority-"));
  const root = fileURLToPath(new URL("../..", import.meta.url));
  let credentials: { readonly key: string; readonly cert: string };
  let enclave: ServedEnclave;

  beforeAll(async () => {
    const ca = await makeCa("a public authority");
    credentials = await ca.issue("localhost");
    writeFileSync(join(folder, "authority.pem"), ca.root);
    await build({
      stdin: { contents: PROGRAM, resolveDir: root, loader: "ts" },
      bundle: true,
      platform: "node",
      format: "esm",
      logLevel: "silent",
      outfile: join(folder, "client.mjs"),
      banner: { js: `import { createRequire } from "node:module"; const require = createRequire(import.meta.url);` },
    });
    enclave = await serveEnclave();
  });
  afterAll(async () => {
    await enclave.close();
    rmSync(folder, { recursive: true });
  });

  async function askBoth({ port }: Listening): Promise<unknown> {
    const image = Object.fromEntries(Object.entries(IMAGE).map(([index, value]) => [index, hex(value)]));
    const rootText = Buffer.from(pki.rootCertificate).toString("base64");
    const input = JSON.stringify({ url: `https://localhost:${port}`, root: rootText, image });
    const env = { PATH: process.env["PATH"], NODE_EXTRA_CA_CERTS: join(folder, "authority.pem") };
    const { stdout } = await run(process.execPath, [join(folder, "client.mjs"), input], { env });
    return JSON.parse(stdout);
  }

  test("the parent answers itself: plain fetch gets its page, attestedFetch refuses it", async () => {
    const page = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi";
    const parent = await serveTls(credentials, (socket) => void socket.on("data", () => socket.end(page)));
    expect(await askBoth(parent)).toEqual({ plain: 200, attested: "ERR_SESSION_UNATTESTED" });
    expectUntold(parent);
    await parent.close();
  });

  test("the parent forwards to the enclave: plain fetch gets the enclave's page, attestedFetch refuses it", async () => {
    const { port } = enclave;
    const parent = await serveTls(credentials, (socket) => {
      const upstream = tlsConnect({ host: "127.0.0.1", port, rejectUnauthorized: false });
      upstream.on("error", () => undefined);
      socket.pipe(upstream).pipe(socket);
    });
    expect(await askBoth(parent)).toEqual({ plain: 200, attested: "ERR_SESSION_RELAYED" });
    expectUntold(parent);
    await parent.close();
  });

  test("the enclave behind a parent that forwards bytes: attestedFetch alone believes it", async () => {
    expect(await askBoth(enclave)).toEqual({ plain: "DEPTH_ZERO_SELF_SIGNED_CERT", attested: 200 });
  });
});

/** The parent heard the secret from plain fetch, and of the other request the challenge only. */
function expectUntold({ said }: Listening): void {
  const [plain, attested, ...others] = said;
  expect(plain).toContain(SECRET);
  expect(attested).toMatch(
    /^GET \/\.well-known\/attestation\?nonce=[\w-]{43} HTTP\/1\.1\r\nHost: enclave\r\nAccept: \S+\r\n\r\n$/,
  );
  expect(others).toEqual([]);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
