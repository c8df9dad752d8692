/** Two enclaves that prove to each other what they are, and everything a parent between them could do. */
import type { Duplex } from "node:stream";
import { type ConnectionOptions, createServer as createTlsServer, TLSSocket, connect as tlsConnect } from "node:tls";
import { afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { createKeySync } from "../../../enclave/peers/key-sync.ts";
import {
  createPeerSessions,
  type PeerSessions,
  type PeerSessionsOptions,
} from "../../../enclave/peers/peer-sessions.ts";
import { sameImagePolicy } from "../../../enclave/peers/same-image.ts";
import { createTlsIdentity } from "../../../enclave/tls/identity.ts";
import type { NsmDevice } from "../../../shared/nsm/device.ts";
import { PEER_NONCE_BYTES, peerDigest, readMessage, writeMessage } from "../../../shared/session/peer.ts";
import { createMemoryPair } from "../../../transport/index.ts";
import { IMAGE, mockNsm, type NsmSettings, OTHER_IMAGE, policy } from "../tls/bed.ts";

const now = (): Date => new Date();
const open: Duplex[] = [];
afterEach(() => {
  for (const socket of open.splice(0)) socket.destroy();
});

interface Enclave {
  readonly nsm: NsmDevice;
  readonly peers: PeerSessions;
}

async function enclave(settings: NsmSettings = {}, options: Partial<PeerSessionsOptions> = {}): Promise<Enclave> {
  const nsm = await mockNsm(settings);
  return { nsm, peers: await createPeerSessions({ nsm, policy, now, timeoutMs: 2_000, ...options }) };
}

/** Two ends of a connection through a parent that keeps every byte. */
function wire(): { readonly near: Duplex; readonly far: Duplex; readonly seen: Buffer[] } {
  const [near, parentNear] = createMemoryPair();
  const [parentFar, far] = createMemoryPair();
  const seen: Buffer[] = [];
  for (const side of [parentNear, parentFar]) side.on("data", (chunk: Buffer) => seen.push(Buffer.from(chunk)));
  parentNear.pipe(parentFar).pipe(parentNear);
  parentNear.once("close", () => parentFar.destroy());
  parentFar.once("close", () => parentNear.destroy());
  open.push(near, far);
  return { near, far, seen };
}

async function codeOf(attempt: Promise<unknown>): Promise<string> {
  return attempt.then(
    () => "agreed",
    (error: unknown) => (error as { code?: string }).code ?? String(error),
  );
}

/** What came of it on either side. */
async function meet(initiator: Enclave, responder: Enclave): Promise<readonly [string, string]> {
  const { near, far } = wire();
  return Promise.all([codeOf(initiator.peers.connect(near)), codeOf(responder.peers.accept(far))]);
}

describe("two enclaves that each other's policies allow", () => {
  test("know each other, and have a connection with nothing of the protocol left in it", async () => {
    const [one, two] = [await enclave(), await enclave()];
    const { near, far, seen } = wire();
    const accepting = two.peers.accept(far);
    const initiated = await one.peers.connect(near);
    const accepted = await accepting;
    expect(initiated.attestation.moduleId).toBe((await two.nsm.describe()).moduleId);
    expect(accepted.attestation.moduleId).toBe((await one.nsm.describe()).moduleId);
    for (const [from, to] of [
      [initiated.socket, accepted.socket],
      [accepted.socket, initiated.socket],
    ] as const) {
      const heard = new Promise<string>((resolve) => to.once("data", (chunk: Buffer) => resolve(chunk.toString())));
      to.resume();
      from.write("canary");
      expect(await heard).toBe("canary");
    }
    expect(Buffer.concat(seen).includes("canary")).toBe(false);
    expect(initiated.socket.getProtocol()).toBe("TLSv1.3");
  });

  test("may have policies that differ", async () => {
    const one = await enclave({}, { policy: { ...policy, images: [OTHER_IMAGE] } });
    const two = await enclave({ image: OTHER_IMAGE });
    expect(await meet(one, two)).toEqual(["agreed", "agreed"]);
  });
});

test("a responder's TLS is 1.3, and resumes no session", async () => {
  const responder = await enclave();
  const tickets: Buffer[] = [];
  const secure = async (options: ConnectionOptions): Promise<readonly [string, boolean]> => {
    const { near, far } = wire();
    const accepting = codeOf(responder.peers.accept(far));
    const socket = tlsConnect({ socket: near, rejectUnauthorized: false, ...options });
    socket.on("error", () => undefined).on("session", (ticket) => tickets.push(ticket));
    let isReused = false;
    socket.once("secureConnect", () => {
      isReused = socket.isSessionReused();
      writeMessage(socket, new Uint8Array(PEER_NONCE_BYTES));
    });
    // The responder's first message follows whatever its TLS had to say.
    socket.once("data", () => socket.destroy());
    const code = await accepting;
    return [code, isReused];
  };
  expect(await secure({})).toEqual(["ERR_TRANSPORT_CLOSED", false]);
  const session = tickets.at(-1);
  expect(await secure(session ? { session } : {})).toEqual(["ERR_TRANSPORT_CLOSED", false]);
  expect(await secure({ maxVersion: "TLSv1.2" })).toEqual(["ERR_TRANSPORT_TLS_REFUSED", false]);
});

describe("a peer that is refused", () => {
  test.each([
    ["P04: in debug mode", { debug: true }, "ERR_ATTESTATION_DEBUG_MODE"],
    ["of another image", { image: OTHER_IMAGE }, "ERR_ATTESTATION_PCR_MISMATCH"],
  ])("%s, as responder: the initiator shows nobody its document", async (_, settings, code) => {
    const one = await enclave();
    const attest = vi.spyOn(one.nsm, "attest");
    const [initiator, responder] = await meet(one, await enclave(settings));
    expect(initiator).toBe(code);
    expect(responder).toBe("ERR_TRANSPORT_CLOSED");
    expect(attest).not.toHaveBeenCalled();
  });

  test.each([
    ["P04: in debug mode", { debug: true }, "ERR_ATTESTATION_DEBUG_MODE"],
    ["of another image", { image: OTHER_IMAGE }, "ERR_ATTESTATION_PCR_MISMATCH"],
  ])("%s, as initiator: it hears why", async (_, settings, code) => {
    expect(await meet(await enclave(settings), await enclave())).toEqual(["ERR_SESSION_PEER_REFUSED", code]);
  });

  test("too many documents asked for", async () => {
    const responder = await enclave({}, { limits: { documents: { perSecond: 1, burst: 1 } }, monotonicMs: () => 0 });
    expect(await meet(await enclave(), responder)).toEqual(["agreed", "agreed"]);
    expect((await meet(await enclave(), responder))[1]).toBe("ERR_SESSION_DOCUMENT_LIMIT");
  });
});

describe("a parent in between", () => {
  let credentials: { readonly key: string; readonly cert: string };
  beforeAll(async () => {
    const { keyPem, certificatePem } = await createTlsIdentity(now());
    credentials = { key: keyPem, cert: certificatePem };
  });

  /** Ends the initiator's TLS. */
  function ending(raw: Duplex): TLSSocket {
    const server = createTlsServer(credentials);
    const socket = new TLSSocket(raw, { isServer: true, secureContext: undefined as never, ...credentials });
    server.close();
    open.push(socket.on("error", () => undefined));
    return socket;
  }

  function secureTo(raw: Duplex): TLSSocket {
    const socket = tlsConnect({ socket: raw, rejectUnauthorized: false }).on("error", () => undefined);
    open.push(socket);
    return socket;
  }

  test("that ends TLS on both sides and forwards every message", async () => {
    const [one, two] = [await enclave(), await enclave()];
    const [near, parentNear] = createMemoryPair();
    const [parentFar, far] = createMemoryPair();
    const inner = ending(parentNear);
    const outer = secureTo(parentFar);
    inner.pipe(outer).pipe(inner);
    const accepting = codeOf(two.peers.accept(far));
    expect(await codeOf(one.peers.connect(near))).toBe("ERR_SESSION_RELAYED");
    parentFar.destroy();
    expect(await accepting).toBe("ERR_TRANSPORT_CLOSED");
  });

  test("that answers one session with the responder's document from another", async () => {
    const two = await enclave();
    const signal = AbortSignal.timeout(5_000);
    const reading = { address: "x", signal, maxBytes: 40_000 };
    const [first, second] = await Promise.all(
      [0, 1].map(async () => {
        const [near, far] = createMemoryPair();
        const verdict = codeOf(two.peers.accept(far));
        return { socket: secureTo(near), verdict };
      }),
    );
    if (!first || !second) throw new Error("two sessions");
    writeMessage(first.socket, new Uint8Array(PEER_NONCE_BYTES));
    const challenge = (await readMessage(first.socket, reading)).subarray(0, PEER_NONCE_BYTES);
    // The other session makes a document over the first one's challenge …
    writeMessage(second.socket, challenge);
    const stolen = (await readMessage(second.socket, reading)).subarray(PEER_NONCE_BYTES);
    writeMessage(first.socket, stolen);
    // … which names the wrong session, and the wrong role.
    expect(new TextDecoder().decode(await readMessage(first.socket, reading))).toBe("ERR_SESSION_RELAYED");
    first.socket.destroy();
    expect(await first.verdict).toBe("ERR_SESSION_RELAYED");
    second.socket.destroy();
    expect(await second.verdict).toBe("ERR_TRANSPORT_CLOSED");
  });

  test.each([
    ["a nonce of 31 bytes", (socket: TLSSocket) => writeMessage(socket, new Uint8Array(31)), "ERR_SESSION_MALFORMED"],
    ["a nonce of 33 bytes", (socket: TLSSocket) => writeMessage(socket, new Uint8Array(33)), "ERR_SESSION_MALFORMED"],
    ["half a message", (socket: TLSSocket) => void socket.end(Uint8Array.of(0)), "ERR_TRANSPORT_CLOSED"],
    ["nothing", () => undefined, "ERR_TRANSPORT_TIMEOUT"],
  ])("that says %s", async (_, say, code) => {
    const two = await enclave({}, { timeoutMs: 200 });
    const [near, far] = createMemoryPair();
    const accepting = codeOf(two.peers.accept(far));
    say(secureTo(near));
    expect(await accepting).toBe(code);
    expect(far.destroyed).toBe(true);
  });

  test("that is no TLS server, or none at all", async () => {
    const one = await enclave({}, { timeoutMs: 200 });
    const [near, far] = createMemoryPair();
    far.write("SSH-2.0-x\r\n");
    expect(await codeOf(one.peers.connect(near))).toBe("ERR_TRANSPORT_TLS_REFUSED");
    const [silent] = createMemoryPair();
    expect(await codeOf(one.peers.connect(silent))).toBe("ERR_TRANSPORT_TIMEOUT");
    const [left, gone] = createMemoryPair();
    gone.destroy();
    expect(await codeOf(one.peers.connect(left))).toBe("ERR_TRANSPORT_TLS_REFUSED");
  });
});

test("a document of one role, key or session vouches for no other", async () => {
  const spki = new Uint8Array(91).fill(1);
  const exporter = new Uint8Array(48).fill(2);
  const digests = [
    await peerDigest({ role: "initiator", spki, exporter }),
    await peerDigest({ role: "responder", spki, exporter }),
    await peerDigest({ role: "initiator", spki: spki.with(0, 0), exporter }),
    await peerDigest({ role: "initiator", spki, exporter: exporter.with(0, 0) }),
    await peerDigest({ role: "initiator", spki: spki.subarray(1), exporter: new Uint8Array([1, ...exporter]) }),
  ];
  expect(new Set(digests.map((digest) => Buffer.from(digest).toString("hex"))).size).toBe(digests.length);
});

describe("the policy of one image", () => {
  const { roots } = policy;

  test("names this enclave's own registers, from its own verified document", async () => {
    const own = await sameImagePolicy({ nsm: await mockNsm(), roots, now, alsoEqual: [4] });
    expect(own.images[0]).toMatchObject(IMAGE);
    expect(Object.keys(own.images[0])).toEqual(["0", "1", "2", "4"]);
  });

  test.each([
    ["in debug mode", { debug: true }, "ERR_ATTESTATION_DEBUG_MODE"],
    ["whose document is of another time", { now: () => new Date("2020-01-01") }, "ERR_ATTESTATION_TIMESTAMP"],
  ])("an enclave %s has none", async (_, settings, code) => {
    expect(await codeOf(sameImagePolicy({ nsm: await mockNsm(settings), roots, now }))).toBe(code);
  });

  test("nor one whose device answers another challenge, or lacks a register", async () => {
    const nsm = await mockNsm();
    const replaying = { attest: () => nsm.attest({ nonce: new Uint8Array(32) }) };
    expect(await codeOf(sameImagePolicy({ nsm: replaying, roots, now }))).toBe("ERR_ATTESTATION_NONCE_MISMATCH");
    const lacking = sameImagePolicy({ nsm, roots, now, alsoEqual: [16] });
    expect(await codeOf(lacking)).toBe("ERR_ATTESTATION_PCR_MISMATCH");
  });

  test("tells configurations apart where they are measured", async () => {
    const configured = async (text: string): Promise<NsmDevice> => {
      const nsm = await mockNsm();
      await nsm.extendPcr(16, Buffer.from(text));
      await nsm.lockPcr(16);
      return nsm;
    };
    const fleet = async (text: string): Promise<Enclave> => {
      const nsm = await configured(text);
      const same = await sameImagePolicy({ nsm, roots, now, alsoEqual: [16] });
      return { nsm, peers: await createPeerSessions({ nsm, policy: same, now }) };
    };
    expect(await meet(await fleet("a"), await fleet("a"))).toEqual(["agreed", "agreed"]);
    expect((await meet(await fleet("a"), await fleet("b")))[0]).toBe("ERR_ATTESTATION_PCR_MISMATCH");
  });
});

describe("key sync", () => {
  const identity = new Uint8Array(Buffer.from("canary-of-the-shared-identity"));
  const secrets = new Map([["identity", identity]]);

  async function sync(settings: NsmSettings = {}) {
    const { nsm } = await enclave(settings);
    const peers = await createPeerSessions({ nsm, policy, now, timeoutMs: 2_000 });
    return createKeySync({ peers, timeoutMs: 500 });
  }

  test("gives a worker of the same image the leader's secret, which the parent does not see", async () => {
    const { near, far, seen } = wire();
    const given = (await sync()).give(far, secrets);
    expect(await (await sync()).take(near, "identity")).toEqual(identity);
    expect((await given).pcrs.get(0)).toEqual(IMAGE[0]);
    expect(Buffer.concat(seen).includes("canary")).toBe(false);
    expect(identity[0]).toBe("c".charCodeAt(0));
  });

  test("gives nothing to a worker of another image, and takes nothing from such a leader", async () => {
    const first = wire();
    const given = codeOf((await sync()).give(first.far, secrets));
    expect(await codeOf((await sync({ image: OTHER_IMAGE })).take(first.near, "identity"))).toBe(
      "ERR_SESSION_PEER_REFUSED",
    );
    expect(await given).toBe("ERR_ATTESTATION_PCR_MISMATCH");
    const second = wire();
    const offered = codeOf((await sync({ debug: true })).give(second.far, secrets));
    expect(await codeOf((await sync()).take(second.near, "identity"))).toBe("ERR_ATTESTATION_DEBUG_MODE");
    expect(await offered).toBe("ERR_TRANSPORT_CLOSED");
  });

  test("says so when there is no such secret", async () => {
    const { near, far } = wire();
    const given = codeOf((await sync()).give(far, secrets));
    expect(await codeOf((await sync()).take(near, "other"))).toBe("ERR_SESSION_SECRET_UNKNOWN");
    expect(await given).toBe("ERR_SESSION_SECRET_UNKNOWN");
    await expect((await sync()).take(near, "Not A Name")).rejects.toThrow(RangeError);
  });

  test("does not wait for a worker that asks nothing, and refuses one that asks strangely", async () => {
    const one = await enclave();
    const quiet = wire();
    const given = codeOf((await sync()).give(quiet.far, secrets));
    await one.peers.connect(quiet.near);
    expect(await given).toBe("ERR_TRANSPORT_TIMEOUT");
    const strange = wire();
    const refused = codeOf((await sync()).give(strange.far, secrets));
    writeMessage((await one.peers.connect(strange.near)).socket, Buffer.from("__proto__"));
    expect(await refused).toBe("ERR_SESSION_MALFORMED");
  });
});
