/**
 * A Hono application in an enclave, as it is: its `fetch` is the enclave's, and its bindings are the environment.
 *
 *   GET  /           what time it is here
 *   POST /digests    SHA-256 of the body
 *
 * @module
 */
import { createHash } from "node:crypto";
import { Hono } from "hono";
import { defineEnclave, type EnclaveApp } from "../../enclave/app/define.ts";
import type { EnclaveEnv } from "../../enclave/app/env.ts";

const app = new Hono<{ Bindings: EnclaveEnv }>();

app.get("/", ({ env, json }) => json({ hello: "from the enclave", at: env.now() }));

app.post("/digests", async ({ req, env, json }) => {
  const bytes = new Uint8Array(await req.arrayBuffer());
  env.log.write("info", "digested", { bytes: bytes.length });
  return json({ sha256: createHash("sha256").update(bytes).digest("hex") });
});

export const enclave: EnclaveApp = defineEnclave({
  tls: "attested",
  fetch: (request, env) => app.fetch(request, env),
});
