/**
 * Judges one document inside the place under test: a page, a worker, another runtime, a context with nothing of Node.
 *
 * A row is JSON, so that the place itself makes every byte array and date. Gives `accepted`, or the code of the refusal.
 */
export async function judge(verifier, { document, policy, at }) {
  const bytes = Uint8Array.from(document.match(/../g), (pair) => Number.parseInt(pair, 16));
  const demanded = verifier.attestationPolicyFromJson(policy);
  try {
    if (at === "its own time") await verifier.verifyHistoricalAttestation(bytes, demanded);
    else await verifier.verifyAttestation(bytes, demanded, { now: new Date(at) });
    return "accepted";
  } catch (error) {
    if (typeof error.code !== "string") throw error;
    return error.code;
  }
}
