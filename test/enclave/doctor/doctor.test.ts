/**
 * The doctor: what it finds keeps an enclave from coming up, by name; later, what needs a sound enclave fails by name.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import { type DoctorOptions, startDoctor } from "../../../enclave/doctor/doctor.ts";
import { createMockNsm, createPki } from "../../../mock/testing.ts";
import { AWS_NITRO_ROOT_G1, dangerouslyTrustRoot } from "../../../shared/attestation/index.ts";
import type { NsmDevice } from "../../../shared/nsm/device.ts";
import { makeCa } from "../../parent/pki.ts";
import { codeOf, scratchFolder } from "../../transport/streams.ts";
import { makeWorld, measurements } from "../app/world.ts";

const folder = scratchFolder();
let machines = 0;
afterEach(() => {
  vi.useRealTimers();
});

const SOUND = {
  "proc/sys/kernel/osrelease": "6.12.48-cloud-amd64\n",
  "sys/class/misc/hw_random/rng_current": "nsm-hwrng\n",
  "sys/devices/system/clocksource/clocksource0/current_clocksource": "kvm-clock\n",
};

/** A kernel's word, one file changed. */
function machine(changes: Readonly<Record<string, string | undefined>> = {}): string {
  const root = join(folder, `${++machines}`);
  for (const [path, text] of Object.entries({ ...SOUND, ...changes })) {
    if (text === undefined) continue;
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

async function patient(changes: Partial<DoctorOptions> = {}, debug = false): Promise<DoctorOptions> {
  const nsm = await createMockNsm({ measurements, debug });
  const tlsRoots = [(await makeCa("root")).root];
  return {
    ...{ nsm: nsm.device, attestationRoots: [dangerouslyTrustRoot(nsm.rootCertificate)], tlsRoots },
    ...changes,
  };
}

const verdict = async (options: DoctorOptions): Promise<string> => codeOf(startDoctor(options));

describe("at the start", () => {
  test("an enclave that is sound comes up, and says what it is", async () => {
    const { health } = await startDoctor(await patient({ systemRoot: machine() }));
    expect(health).toMatchObject({ debug: false, moduleId: expect.stringMatching(/^i-[0-9a-f]+-enc/) });
    expect(health.machine).toEqual({
      kernel: "6.12.48-cloud-amd64",
      entropySource: "nsm-hwrng",
      clockSource: "kvm-clock",
      vsockMayStall: false,
    });
    expect(Math.abs(health.driftMs)).toBeLessThan(5_000);
  });

  const RNG = "sys/class/misc/hw_random/rng_current";
  const RELEASE = "proc/sys/kernel/osrelease";
  test.each<[string, string, string | undefined, string]>([
    ["a TPM feeds the pool", RNG, "tpm-rng-0\n", "ERR_ENCLAVE_ENTROPY"],
    ["nothing feeds the pool", RNG, "none\n", "ERR_ENCLAVE_ENTROPY"],
    ["the kernel does not say what feeds it", RNG, undefined, "ERR_ENCLAVE_ENTROPY"],
    ["kernel 5.17.11", RELEASE, "5.17.11\n", "ERR_ENCLAVE_KERNEL"],
    ["kernel 5.17.12", RELEASE, "5.17.12-aws\n", "accepted"],
    ["kernel 5.4.200", RELEASE, "5.4.200\n", "ERR_ENCLAVE_KERNEL"],
    ["kernel 6.0", RELEASE, "6.0\n", "accepted"],
    ["a kernel without a number", RELEASE, "custom\n", "ERR_ENCLAVE_KERNEL"],
    ["no kernel", RELEASE, undefined, "ERR_ENCLAVE_KERNEL"],
  ])("A2: %s", async (_, path, text, expected) => {
    expect(await verdict(await patient({ systemRoot: machine({ [path]: text }) }))).toBe(expected);
  });

  test.each([
    ["6.6.61", true],
    ["6.6.62", false],
  ])("A20: kernel %s may stall a vsock stream: %s", async (release, expected) => {
    const { health } = await startDoctor(await patient({ systemRoot: machine({ [RELEASE]: release }) }));
    expect(health.machine?.vsockMayStall).toBe(expected);
  });

  test.each<[string, readonly Uint8Array[]]>([
    ["zeros", [new Uint8Array(256), new Uint8Array(256).fill(1)]],
    ["the same twice", [new Uint8Array(256).fill(7), new Uint8Array(256).fill(7)]],
    ["15 bytes", [new Uint8Array(15).fill(1), new Uint8Array(16).fill(2)]],
  ])("A21: NSM that gives %s is no source", async (_, replies) => {
    const options = await patient();
    const queue = [...replies];
    const nsm = { attest: options.nsm.attest, getRandom: async () => queue.shift() ?? new Uint8Array(0) };
    expect(await verdict({ ...options, nsm })).toBe("ERR_ENCLAVE_ENTROPY");
  });

  test.each([
    [true, undefined, "ERR_ENCLAVE_DEBUG_MODE"],
    [true, true, "accepted"],
    [false, undefined, "accepted"],
  ] as const)("P: debug mode %s, allowed %s: %s", async (debug, dangerouslyAllowDebug, expected) => {
    expect(await verdict(await patient({ dangerouslyAllowDebug }, debug))).toBe(expected);
  });

  test("its own document must verify under the roots in its image", async () => {
    const foreign = await patient({ attestationRoots: [AWS_NITRO_ROOT_G1] });
    const refused = await startDoctor(foreign).catch((error: unknown) => error);
    expect(refused).toMatchObject({
      code: "ERR_ENCLAVE_IDENTITY",
      details: { reason: "ERR_ATTESTATION_ROOT_UNTRUSTED" },
    });
  });

  test("a document of before, which answers another challenge, is not believed", async () => {
    const options = await patient();
    const old = await options.nsm.attest({ nonce: new Uint8Array(32) });
    const nsm = { ...options.nsm, attest: async () => old, getRandom: () => options.nsm.getRandom() };
    const refused = await startDoctor({ ...options, nsm }).catch((error: unknown) => error);
    expect(refused).toMatchObject({ details: { reason: "ERR_ATTESTATION_NONCE_MISMATCH" } });
  });

  test.each<[string, Partial<DoctorOptions>]>([
    ["no root for attestation", { attestationRoots: [] }],
    ["no root for TLS", { tlsRoots: [] }],
    ["a root that is none", { tlsRoots: ["nonsense"] }],
  ])("%s keeps it down", async (_, changes) => {
    expect(await verdict(await patient(changes))).toMatch(/^ERR_ENCLAVE_(ROOTS|IDENTITY)$/);
  });

  test("roots that are all out of date keep it down", async () => {
    const later = new Date(Date.now() + 7_200_000);
    const pki = await createPki({
      ...{ region: "us-east-1", instanceId: "i-0123456789abcdef0", now: () => later },
      randomBytes: (length: number) => crypto.getRandomValues(new Uint8Array(length)),
    });
    const nsm = await createMockNsm({ measurements, pki, now: () => later });
    const attestationRoots = [dangerouslyTrustRoot(nsm.rootCertificate)];
    expect(await verdict(await patient({ nsm: nsm.device, attestationRoots, now: () => later }))).toBe(
      "ERR_ENCLAVE_ROOTS",
    );
  });
});

describe("the clock", () => {
  const off = (ms: number) => () => new Date(Date.now() + ms);

  test("A25: a drift is measured against NSM's signed time, and corrected", async () => {
    const doctor = await startDoctor(await patient({ now: off(-120_000) }));
    expect(doctor.health.driftMs).toBeGreaterThan(115_000);
    expect(Math.abs(doctor.now().getTime() - Date.now())).toBeLessThan(5_000);
  });

  test.each([
    [-10_800_000, "ERR_ENCLAVE_CLOCK"],
    [10_800_000, "ERR_ENCLAVE_CLOCK"],
    [-290_000, "accepted"],
    [-310_000, "ERR_ENCLAVE_CLOCK"],
  ])("A25: %d ms off: %s, and not an expired certificate", async (ms, expected) => {
    expect(await verdict(await patient({ now: off(ms) }))).toBe(expected);
  });
});

describe("later", () => {
  /** An NSM whose answers can be taken away. */
  function failing(nsm: Pick<NsmDevice, "attest" | "getRandom">) {
    const state = { fails: false };
    const getRandom = async (): Promise<Uint8Array> => (state.fails ? new Uint8Array(256) : nsm.getRandom());
    return { state, nsm: { attest: nsm.attest.bind(nsm), getRandom } };
  }

  test("a finding is kept and told once, until an examination finds all well", async () => {
    const options = await patient();
    const { state, nsm } = failing(options.nsm);
    const doctor = await startDoctor({ ...options, nsm });
    expect(() => doctor.assertSound()).not.toThrow();
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    const told: unknown[] = [];
    let hear: () => void = () => {};
    const stop = doctor.watch({
      onChange: (finding) => {
        told.push((finding as { code?: string } | undefined)?.code);
        hear();
      },
    });
    const change = (): Promise<void> => new Promise<void>((resolve) => (hear = resolve));
    state.fails = true;
    vi.advanceTimersByTime(299_999);
    expect(told).toEqual([]);
    const found = change();
    vi.advanceTimersByTime(1);
    await found;
    expect(() => doctor.assertSound()).toThrow(expect.objectContaining({ code: "ERR_ENCLAVE_ENTROPY" }));
    await doctor.examine().catch(() => {});
    state.fails = false;
    const healed = change();
    vi.advanceTimersByTime(300_000);
    await healed;
    expect(() => doctor.assertSound()).not.toThrow();
    expect(told).toEqual(["ERR_ENCLAVE_ENTROPY", undefined]);
    stop();
    expect(vi.getTimerCount()).toBe(0);
  });

  test("A25: TLS of an enclave whose clock went astray fails by name, KMS with it", async () => {
    const world = await makeWorld({ hosts: { "kms.eu-central-1.amazonaws.com:443": 1 } });
    let offset = 0;
    const enclave = await world.launch(
      {
        tls: "off",
        async fetch(request, env) {
          if (new URL(request.url).pathname === "/fetch") await env.fetch("https://kms.eu-central-1.amazonaws.com/");
          await env.kms("eu-central-1").decrypt({ KeyId: KEY, CiphertextBlob: new Uint8Array(9) });
          return new Response();
        },
      },
      { now: () => new Date(Date.now() + offset) },
    );
    offset = -3_600_000;
    expect(await codeOf(enclave.doctor.examine())).toBe("ERR_ENCLAVE_CLOCK");
    for (const path of ["/fetch", "/kms"]) {
      const answer = await world.ask(path);
      expect([path, answer.status]).toEqual([path, 503]);
      expect(answer.text).toContain("ERR_ENCLAVE_CLOCK");
    }
  });
});

const KEY = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
