import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openNsmSocket } from "../../enclave/nsm/socket.ts";
import { createSoftwareNsm } from "../../mock/nsm/device.ts";
import { createMockNsm, createPki } from "../../mock/nsm/index.ts";
import { serveNsm } from "../../mock/nsm/serve.ts";
import { utf8 } from "../../shared/bytes.ts";
import { measureEif } from "../../shared/eif/measure.ts";
import { describeNsm, type NsmUnderTest } from "./suite.ts";

const instanceId = "i-0123456789abcdef0";
const now = () => new Date("2026-01-01T00:00:00Z");
const randomBytes = (length: number) => crypto.getRandomValues(new Uint8Array(length));
const pki = createPki({ region: "eu-west-1", instanceId, now, randomBytes });
const measurements = measureEif({ kernel: utf8("k"), cmdline: utf8("c"), ramdisks: [utf8("i"), utf8("a")] });

describeNsm("mock, in process", async () => {
  const { device } = await createMockNsm({ measurements: await measurements, pki: await pki, now });
  return { device, [Symbol.asyncDispose]: () => device.close() };
});

async function openOverSocket(): Promise<NsmUnderTest & { readonly path: string }> {
  const folder = await mkdtemp(join(tmpdir(), "nsm-"));
  const path = join(folder, "nsm.sock");
  const nsm = await createSoftwareNsm({
    measurements: await measurements,
    parentRoleArn: "arn:aws:iam::123456789012:role/parent",
    instanceId,
    debug: false,
    pki: await pki,
    moduleId: `${instanceId}-enc0123456789abcdef`,
    now,
    randomBytes,
  });
  const server = await serveNsm(path, nsm.handle);
  const device = await openNsmSocket(path);
  return {
    device,
    path,
    async [Symbol.asyncDispose]() {
      await device.close();
      await server[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
}

describeNsm("over a Unix socket", openOverSocket);

test("the socket is its owner's alone", async () => {
  await using opened = await openOverSocket();
  expect((await stat(opened.path)).mode & 0o777).toBe(0o600);
});
