/** The driver of `/dev/nsm`, on the shim: a software NSM in this process answers its ioctl on `/dev/null`. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openNsmDevice } from "../../enclave/nsm/device.ts";
import { createSoftwareNsm } from "../../mock/nsm/device.ts";
import { createPki } from "../../mock/nsm/pki.ts";
import { serveNsm } from "../../mock/nsm/serve.ts";
import { measureEif } from "../../shared/eif/measure.ts";
import type { NsmExchange } from "../../shared/nsm/device.ts";
import { loadNative } from "../../transport/native.ts";
import { descriptors, equal, outcome, type Scenario } from "./streams.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const PATH = "/dev/null";

async function withNsm(run: (pass: { between: NsmExchange }) => Promise<void>): Promise<void> {
  const instanceId = "i-0123456789abcdef0";
  const now = (): Date => new Date("2026-01-01T00:00:00Z");
  const randomBytes = (length: number): Uint8Array => crypto.getRandomValues(new Uint8Array(length));
  const pki = await createPki({ region: "eu-west-1", instanceId, now, randomBytes });
  const measurements = await measureEif({
    kernel: bytes("k"),
    cmdline: bytes("c"),
    ramdisks: [bytes("i"), bytes("a")],
  });
  const moduleId = `${instanceId}-enc0123456789abcdef`;
  const boot = { measurements, instanceId, parentRoleArn: "arn:aws:iam::123456789012:role/p", debug: false };
  const nsm = await createSoftwareNsm({ ...boot, pki, moduleId, now, randomBytes });
  const pass = { between: nsm.handle };
  const folder = mkdtempSync(join(tmpdir(), "cl-nsm-"));
  const server = await serveNsm(join(folder, "s"), (request) => pass.between(request));
  process.env["VSOCK_SHIM_NSM"] = join(folder, "s");
  try {
    await run(pass);
  } finally {
    delete process.env["VSOCK_SHIM_NSM"];
    await server[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  }
}

export const NSM_SCENARIOS: Readonly<Record<string, Scenario>> = {
  "the device answers, off the event loop": ({ nativePath }) =>
    withNsm(async () => {
      // The very process that waits for the ioctl answers it: a call on the event loop would never return.
      const before = await descriptors();
      const device = await openNsmDevice({ path: PATH, nativePath });
      equal("registers", (await device.describe()).maxPcrs, 32);
      equal("extended", (await device.extendPcr(16, bytes("a"))).length, 48);
      equal("document", (await device.attest({ nonce: bytes("n") })).length > 1_000, true);
      equal("random", (await device.getRandom()).length > 0, true);
      equal("refused", await outcome(device.extendPcr(0, bytes("a"))), "ERR_NSM_REFUSED ReadOnlyIndex");
      await device.close();
      equal("after close", await outcome(device.describe()), "ERR_NSM_UNAVAILABLE closed");
      equal("descriptors", (await descriptors()) <= before, true);
    }),

  "NSM07: a hundred calls at once pass one at a time": ({ nativePath }) =>
    withNsm(async (pass) => {
      const real = pass.between;
      let underWay = 0;
      let most = 0;
      pass.between = async (request) => {
        most = Math.max(most, ++underWay);
        const response = await real(request);
        underWay--;
        return response;
      };
      await using device = await openNsmDevice({ path: PATH, nativePath });
      const values = await Promise.all(Array.from({ length: 100 }, (_, i) => device.describePcr(i % 32)));
      equal("answers", [values.length, most], [100, 1]);
    }),

  "NSM02: a response that is too large, and an error of the system": ({ nativePath }) =>
    withNsm(async (pass) => {
      await using device = await openNsmDevice({ path: PATH, nativePath });
      const real = pass.between;
      pass.between = async () => new Uint8Array(0x3001);
      equal("too large", await outcome(device.describe()), "ERR_NSM_UNAVAILABLE EMSGSIZE");
      process.env["VSOCK_SHIM_FAIL"] = "nsm:LIE:1";
      equal("a lie", await outcome(device.describe()), "ERR_NSM_UNAVAILABLE EMSGSIZE");
      process.env["VSOCK_SHIM_FAIL"] = "nsm:ETIMEDOUT:1";
      equal("timeout", await outcome(device.describe()), "ERR_NSM_UNAVAILABLE ETIMEDOUT");
      pass.between = real;
      equal("goes on", (await device.describe()).digest, "SHA384");
      const { nsmCall } = loadNative({ address: "nsm", path: nativePath });
      for (const wrong of [new Uint8Array(0x1001), new Uint16Array(1) as unknown as Uint8Array]) {
        let thrown: unknown;
        try {
          await nsmCall(0, wrong);
        } catch (error) {
          thrown = error;
        }
        equal("request", thrown instanceof RangeError, true);
      }
      equal("no descriptor", await nsmCall(-1, bytes("x")), -9);
    }),

  "close waits for the call that runs, and refuses those behind it": ({ nativePath }) =>
    withNsm(async (pass) => {
      const device = await openNsmDevice({ path: PATH, nativePath });
      const order: string[] = [];
      const real = pass.between;
      let answer = (): void => {};
      const arrived = new Promise<void>((resolve) => {
        pass.between = async (request) => {
          resolve();
          await new Promise<void>((go) => {
            answer = go;
          });
          return real(request);
        };
      });
      const running = device.describe().then(() => order.push("answered"));
      const behind = outcome(device.describe());
      await arrived;
      const closing = device.close().then(() => order.push("closed"));
      for (let i = 0; i < 50; i++) await new Promise(setImmediate);
      equal("still open", order, []);
      answer();
      await Promise.all([running, closing]);
      equal("order", order, ["answered", "closed"]);
      equal("behind", await behind, "ERR_NSM_UNAVAILABLE closed");
    }),

  "a device that does not answer is given up, and not asked again": ({ nativePath }) =>
    withNsm(async (pass) => {
      const device = await openNsmDevice({ path: PATH, nativePath, timeoutMs: 50 });
      const real = pass.between;
      let answer = (): void => {};
      pass.between = async (request) => {
        await new Promise<void>((go) => {
          answer = go;
        });
        return real(request);
      };
      equal("late", await outcome(device.describe()), "ERR_NSM_UNAVAILABLE no answer in 50 ms");
      equal("from then on", await outcome(device.getRandom()), "ERR_NSM_UNAVAILABLE no answer in 50 ms");
      await device.close();
      answer();
    }),

  "NSM08: no device, no right, no character device: never a mock": async ({ nativePath }) => {
    const folder = mkdtempSync(join(tmpdir(), "cl-nsm-"));
    const file = join(folder, "file");
    writeFileSync(file, "");
    const before = await descriptors();
    const open = (path: string): Promise<string> => outcome(openNsmDevice({ path, nativePath }));
    equal("missing", await open(join(folder, "none")), "ERR_NSM_UNAVAILABLE ENOENT");
    equal("folder", await open(folder), "ERR_NSM_UNAVAILABLE EISDIR");
    equal("regular file", await open(file), "ERR_NSM_UNAVAILABLE not a character device");
    const device = await openNsmDevice({ path: PATH, nativePath });
    equal("another device", await outcome(device.describe()), "ERR_NSM_UNAVAILABLE ENOTTY");
    await device.close();
    const none = { path: PATH, nativePath: join(folder, "none.node") };
    equal("no binding", (await outcome(openNsmDevice(none))).split(" ")[0], "ERR_NSM_UNAVAILABLE");
    equal("descriptors", await descriptors(), before);
    rmSync(folder, { recursive: true });
  },
};
