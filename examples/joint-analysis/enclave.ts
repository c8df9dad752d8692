/**
 * The enclave application: opens two owners' sealed data, joins it, and answers a fixed set of questions.
 *
 *   PUT  /datasets/<name>   a sealed message, once      → 204, or why not
 *   POST /status            {"nonce": base64}           → what is loaded, signed and attested
 *   POST /queries/<name>    {"nonce": base64}           → aggregates, signed and attested
 *
 * Which KMS key opens which data set is part of the image and so of its measurement: the parent can not point it at
 * another key. A data set is loaded once for the life of the enclave, and every answer names the SHA-384 of the sealed
 * messages that it was computed from: a parent that kept an older version can not swap it in, nor subtract two answers.
 *
 * @module
 */
import { defineEnclave, type EnclaveApp } from "../../enclave/app/define.ts";
import { QUERY_NAMES, runQuery } from "./queries.ts";
import { type JointAnalysisConfig, TableStore } from "./store.ts";

const store = new TableStore();

export const enclave: EnclaveApp = defineEnclave({
  // What goes in is sealed and what comes out is signed: the parent may carry it in clear.
  tls: "off",
  // The demo shows that KMS and clients refuse this image in debug mode, so it does not refuse itself.
  dangerouslyAllowDebug: true,
  readConfig: (json) => json as JointAnalysisConfig,
  async fetch(request, env) {
    const [, noun, name = "", ...more] = new URL(request.url).pathname.split("/");
    switch (more.length === 0 && `${request.method} /${noun}`) {
      case "PUT /datasets":
        await store.load(name, new Uint8Array(await request.arrayBuffer()), env);
        return new Response(null, { status: 204 });
      case "POST /status":
        return env.answer(request, () => ({ inputs: store.inputs, queries: QUERY_NAMES }));
      case "POST /queries":
        return env.answer(request, () => ({ inputs: store.inputs, ...runQuery(name, store.tables) }));
      default:
        return new Response(null, { status: 404 });
    }
  },
});
