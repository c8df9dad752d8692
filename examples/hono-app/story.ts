/**
 * The Hono example as its client sees it.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { Example } from "../run/example.ts";

const MESSAGE = "a message that the parent carries and can not read";
const OTHER_IMAGE = "ab".repeat(48);

export const example: Example = {
  async tell({ story, ask, policy, registers, refused, unseen }) {
    await story.step(
      "GET /: an ordinary route, behind attested TLS",
      async () => (await (await ask("/")).json()) as { readonly at: string },
      ({ at }) => `the enclave's time is ${at}`,
    );
    await story.step(
      "POST /digests: the body is read inside",
      async () => {
        const { sha256 } = (await (await ask("/digests", { method: "POST", body: MESSAGE })).json()) as {
          readonly sha256: string;
        };
        if (sha256 !== createHash("sha256").update(MESSAGE).digest("hex")) throw new Error("another digest");
        return sha256;
      },
      (sha256) => `sha256 ${sha256}`,
    );
    await refused("a route that is not there", "ERR_HTTP_404", () => ask("/elsewhere"));
    await refused("a client that demands another image: not one byte is sent", "ERR_ATTESTATION_PCR_MISMATCH", () =>
      ask("/digests", {
        ...{ method: "POST", body: "never sent" },
        policy: { ...policy, images: [{ ...registers, 0: OTHER_IMAGE }] },
      }),
    );
    await unseen("what the parent carried, searched", { "the message": MESSAGE });
  },
};
