/** The verifier in a real browser: a page and a worker, under a policy that allows neither eval nor foreign code. */
import { existsSync, readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hasVectors } from "../vectors.ts";
import { genuineRows, mockRows, type Row } from "./rows.ts";
import { bundleVerifier } from "./verifier-bundle.ts";

const CHROMIUM = "/usr/bin/chromium";
const hasChromium = existsSync(CHROMIUM);

/** The worker answers each row with a verdict; it has no `window`. */
const WORKER = `import * as verifier from "/verifier.mjs"; import { judge } from "/judge.mjs";
onmessage = async ({ data }) => postMessage(await judge(verifier, data));`;
const PAGE = `import * as verifier from "/verifier.mjs"; import { judge } from "/judge.mjs";
try { globalThis.evalOnLoad = new Function("return 1")(); } catch (error) { globalThis.evalOnLoad = error.name; }
globalThis.judgeAll = (rows) => Promise.all(rows.map((row) => judge(verifier, row)));
globalThis.judgeInWorker = (row) => new Promise((resolve, reject) => {
  const worker = new Worker("/worker.mjs", { type: "module" });
  worker.onmessage = ({ data }) => resolve(data);
  worker.onerror = ({ message }) => reject(new Error(message));
  worker.postMessage(row);
});`;
const HTML =
  '<!doctype html><title>verifier</title><link rel="icon" href="data:,"><script type="module" src="/page.mjs"></script>';

async function serve(): Promise<Server> {
  const { text } = await bundleVerifier();
  const scripts = new Map([
    ["/verifier.mjs", text],
    ["/judge.mjs", readFileSync(new URL("./judge.mjs", import.meta.url), "utf8")],
    ["/worker.mjs", WORKER],
    ["/page.mjs", PAGE],
  ]);
  const server = createServer(({ url = "/" }, response) => {
    const script = scripts.get(url);
    response.setHeader("content-type", script ? "text/javascript" : "text/html");
    response.setHeader(
      "content-security-policy",
      "default-src 'none'; script-src 'self'; worker-src 'self'; img-src data:",
    );
    response.writeHead(script || url === "/" ? 200 : 404).end(script ?? HTML);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

describe.skipIf(!hasChromium)("Chromium (needs Debian's package chromium)", () => {
  let server: Server;
  let browser: Browser;
  let page: Page;
  const trouble: string[] = [];

  beforeAll(async () => {
    server = await serve();
    // Without a user data directory of ours, Playwright makes a fresh one and removes it.
    browser = await chromium.launch({
      executablePath: CHROMIUM,
      args: [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
      ],
    });
    page = await browser.newPage();
    page.on("pageerror", (error) => trouble.push(error.message));
    page.on("console", (message) => message.type() === "error" && trouble.push(message.text()));
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    await page.waitForFunction("typeof judgeAll === 'function'");
  }, 60_000);

  afterAll(async () => {
    await browser?.close();
    await new Promise((resolve) => server?.close(resolve));
    expect(trouble).toEqual([]);
  });

  /** Passed as text: the page has its own modules, and vitest must not rewrite what runs there. */
  const judge = (rows: readonly Row[]) => page.evaluate<unknown>(`judgeAll(${JSON.stringify(rows)})`);

  test("judges documents of the mock as Node does", async () => {
    const rows = await mockRows();
    expect(await judge(rows)).toEqual(rows.map((row) => row.expect));
  });

  test("judges in a worker", async () => {
    const rows = await mockRows();
    for (const row of rows.slice(0, 2)) {
      expect(await page.evaluate<unknown>(`judgeInWorker(${JSON.stringify(row)})`)).toBe(row.expect);
    }
  });

  test("forbids code made from strings, which the verifier does without", async () => {
    expect(await page.evaluate<unknown>("evalOnLoad")).toBe("EvalError");
  });

  describe.skipIf(!hasVectors)("genuine documents (needs the reference vectors)", () => {
    test("all 62 are accepted at their own time, and refused with one bit flipped", async () => {
      const rows = genuineRows();
      expect(rows).toHaveLength(3 * 62);
      expect(await judge(rows)).toEqual(rows.map((row) => row.expect));
      expect(rows.filter((row) => row.expect === "accepted")).toHaveLength(62);
    }, 60_000);
  });
});
