/** The browser library in a real browser: a page of one origin, a parent of another that carries what it can not read. */
import { existsSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { chromium } from "playwright-core";
import { describe, expect, test } from "vitest";
import { createSealedRequests } from "../../enclave/tls/sealed-requests.ts";
import { IMAGE, mockNsm, OTHER_IMAGE, pki } from "../enclave/tls/bed.ts";
import { surroundingsOf } from "../everywhere/verifier-bundle.ts";

const CHROMIUM = "/usr/bin/chromium";
const SECRET = "canary-of-the-request";
const GZIPPED_MAX = 40_000;
/** What the library takes from its surroundings, beside what the verifier does: all of it is in every browser. */
const WEB_PLATFORM = [
  "AbortController",
  "Response",
  "TextDecoder",
  "TextEncoder",
  "URL",
  "atob",
  "btoa",
  "clearTimeout",
  "crypto",
  "performance",
  "setTimeout",
  "structuredClone",
];

async function bundle(external: string[] = []): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL("../../client/browser/index.ts", import.meta.url))],
    bundle: true,
    external,
    format: "esm",
    legalComments: "none",
    logLevel: "silent",
    minify: true,
    platform: "browser",
    target: "es2023",
    write: false,
  });
  return outputFiles[0]?.text ?? "";
}

async function listen(listener: RequestListener): Promise<{ readonly server: Server; readonly origin: string }> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { server, origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

describe("the browser library, bundled and minified", () => {
  test(`has at most ${GZIPPED_MAX} bytes gzipped, and needs the web platform only`, async () => {
    const size = gzipSync(await bundle(), { level: 9 }).length;
    console.log(`browser library: ${size} bytes gzipped`);
    expect(size).toBeGreaterThan(10_000);
    expect(size).toBeLessThanOrEqual(GZIPPED_MAX);
    expect(surroundingsOf(await bundle(["cbor-x/*", "@hpke/core"]))).toEqual(WEB_PLATFORM);
  });
});

describe.skipIf(!existsSync(CHROMIUM))("Chromium (needs Debian's package chromium)", () => {
  test("verifies, seals and opens; refuses another image; the parent reads nothing", async () => {
    const library = await bundle();
    const page = await listen(({ url }, response) => {
      response.setHeader("content-type", url === "/library.mjs" ? "text/javascript" : "text/html");
      response.end(url === "/library.mjs" ? library : '<!doctype html><link rel="icon" href="data:,">');
    });
    const enclave = createSealedRequests({
      nsm: await mockNsm(),
      handler: async (request) => new Response(`heard ${await request.text()}`),
      onInternalError: () => undefined,
      origins: [page.origin],
    });
    const carried: Buffer[] = [];
    const parent = await listen(async (incoming, outgoing) => {
      const chunks: Buffer[] = [];
      for await (const chunk of incoming) chunks.push(chunk as Buffer);
      const { method = "GET", url = "/", headers } = incoming;
      carried.push(Buffer.from(url), ...chunks);
      const body = method === "POST" ? { body: Buffer.concat(chunks) } : {};
      const request = new Request(`http://enclave${url}`, { method, headers: headers as never, ...body });
      const response = (await enclave.handle(request)) ?? new Response(null, { status: 404 });
      outgoing.writeHead(response.status, Object.fromEntries(response.headers));
      outgoing.end(new Uint8Array(await response.arrayBuffer()));
    });
    const browser = await chromium.launch({
      executablePath: CHROMIUM,
      args: ["--headless", "--no-sandbox", "--disable-gpu"],
    });
    try {
      const tab = await browser.newPage();
      await tab.goto(page.origin);
      const ask = (image: Readonly<Record<number, Uint8Array>>): Promise<unknown> => {
        const hex = Object.entries(image).map(([index, value]) => [index, Buffer.from(value).toString("hex")]);
        const settings = { image: Object.fromEntries(hex), root: Buffer.from(pki.rootCertificate).toString("base64") };
        return tab.evaluate<unknown>(`import("/library.mjs").then(async (cloister) => {
          const { image, root } = ${JSON.stringify(settings)};
          const der = Uint8Array.from(atob(root), (character) => character.charCodeAt(0));
          const policy = { kind: "nsm", roots: [cloister.dangerouslyTrustRoot(der)], images: [image], maxAgeMs: 60000 };
          const client = cloister.createSealedClient({ url: ${JSON.stringify(parent.origin)}, policy });
          const response = await client.fetch("/say", { method: "POST", body: "${SECRET}" });
          return response.text();
        }).catch((error) => error.code ?? String(error))`);
      };
      expect(await ask(IMAGE)).toBe(`heard ${SECRET}`);
      expect(await ask(OTHER_IMAGE)).toBe("ERR_ATTESTATION_PCR_MISMATCH");
      expect(carried.length).toBeGreaterThan(3);
      expect(Buffer.concat(carried).includes("canary")).toBe(false);
    } finally {
      await browser.close();
      for (const { server } of [page, parent]) await new Promise((resolve) => server.close(resolve));
    }
  }, 60_000);
});
