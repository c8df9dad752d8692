/** `attestedFetch` to the enclave's own server, as applications run it. */
import { afterEach, expect, test } from "vitest";
import { createAttestedAgent } from "../../client/attested-agent.ts";
import { attestationOf, attestedFetch } from "../../client/attested-fetch.ts";
import { serveHttp } from "../../enclave/app/http.ts";
import { createAttestedTls } from "../../enclave/tls/attested-tls.ts";
import { createTransport } from "../../transport/index.ts";
import { IMAGE, mockNsm, policy } from "../enclave/tls/bed.ts";

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

test("requests and answers cross the application's server over one verified connection", async () => {
  const tls = await createAttestedTls({ nsm: await mockNsm(), now: () => new Date() });
  const handler = async (request: Request): Promise<Response> =>
    new URL(request.url).pathname === "/echo"
      ? new Response(await request.arrayBuffer())
      : Response.json({ url: request.url });
  const faults: unknown[] = [];
  const listener = await serveHttp({
    transport: createTransport(),
    address: { kind: "tcp", host: "127.0.0.1", port: 0 },
    handler,
    tls,
    onInternalError: (error) => void faults.push(error),
  });
  closing.push(() => listener.close());
  const { address } = listener;
  if (address.kind !== "tcp") throw new Error("a TCP address");
  const agent = createAttestedAgent(policy, { maxSockets: 1 });
  closing.push(() => agent.destroy());
  const url = `https://127.0.0.1:${address.port}`;
  const big = new Uint8Array(3_000_000).fill(7);
  const echoed = await attestedFetch(`${url}/echo`, { agent, method: "POST", body: big });
  expect(Buffer.compare(Buffer.from(await echoed.arrayBuffer()), big)).toBe(0);
  const second = await attestedFetch(`${url}/a?b=c`, { agent });
  expect(((await second.json()) as { url: string }).url).toMatch(/\/a\?b=c$/);
  expect(attestationOf(second)).toBe(attestationOf(echoed));
  expect(attestationOf(second)?.pcrs.get(0)).toEqual(IMAGE[0]);
  expect(faults).toEqual([]);
});
