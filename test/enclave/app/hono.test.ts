/**
 * A Hono application is an enclave application as it is: its `fetch`, its streams, its errors.
 */
import { Hono } from "hono";
import { stream } from "hono/streaming";
import { describe, expect, test } from "vitest";
import type { EnclaveEnv } from "../../../enclave/app/env.ts";
import { EnclaveError } from "../../../shared/errors/index.ts";
import { makeWorld } from "./world.ts";

const app = new Hono<{ Bindings: EnclaveEnv<{ name: string }> }>()
  .get("/hello/:who", (c) => c.json({ hello: c.req.param("who"), from: c.env.config.name, at: c.env.now() }))
  .post("/answer", (c) => c.env.answer(c.req.raw, () => ({ sum: 3 })))
  .post("/upper", (c) =>
    stream(c, async (out) => {
      for await (const chunk of c.req.raw.body as unknown as AsyncIterable<Uint8Array>) {
        await out.write(Buffer.from(chunk).toString().toUpperCase());
      }
    }),
  )
  .get("/refused", () => {
    throw new EnclaveError("ERR_ENCLAVE_ENTROPY", { rule: "x" });
  });
app.onError((error) => {
  throw error;
});

describe("a Hono application", () => {
  test("routes, reads its environment, signs and streams", async () => {
    const world = await makeWorld();
    await world.launch(
      { tls: "off", readConfig: (json) => json as { name: string }, fetch: app.fetch },
      { config: { name: "e" } },
    );
    const hello = await world.ask("/hello/you");
    expect(JSON.parse(hello.text)).toMatchObject({ hello: "you", from: "e", at: expect.any(String) });
    const nonce = Buffer.alloc(16, 1).toString("base64");
    const answer = await world.ask("/answer", { method: "POST", body: JSON.stringify({ nonce }) });
    expect(JSON.parse(answer.text)).toMatchObject({ result: '{"sum":3}', document: expect.any(String) });
    expect((await world.ask("/upper", { method: "POST", body: "abc" })).text).toBe("ABC");
    expect((await world.ask("/nowhere")).status).toBe(404);
  });

  test("with its errors passed on, a refusal is answered by name", async () => {
    const world = await makeWorld();
    await world.launch({ tls: "off", readConfig: (json) => json as { name: string }, fetch: app.fetch });
    const refused = await world.ask("/refused");
    expect([refused.status, JSON.parse(refused.text).code]).toEqual([503, "ERR_ENCLAVE_ENTROPY"]);
  });
});
