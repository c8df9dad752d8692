/** Emulated enclaves as their keeper has them: what a failed start leaves, what closing waits for. */
import { mkdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { EmulatedBackend } from "../../mock/launcher/emulated-backend.ts";
import type { ProcessSpec } from "../../mock/launcher/process-spec.ts";
import type { Json } from "../../shared/transport/json.ts";
import { verdict } from "../eif/craft.ts";
import { guest, isAlive, launch, plainImage, scratch } from "./fixture.ts";

const PATIENT = { timeout: 60_000 };

describe("enclaves in their keeper", PATIENT, () => {
  const never = new AbortController().signal;

  async function kept(specs: readonly ProcessSpec[]) {
    const state = await scratch();
    const folder = join(state, "e", "1");
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, "leaf.key"), "secret");
    const enclaveId = "i-0-enc0";
    const guests = { enclaveId, folder, enclave: "enclave", attestationRoot: "", peer: null, processes: specs };
    const { signal: _, ...options } = launch(await plainImage(await scratch()));
    const request = { ...options, cid: 16, extra: guests as unknown as Json };
    return { backend: new EmulatedBackend(state, () => undefined), request, folder, enclaveId };
  }

  test("one that does not come up leaves no signing key, whether or not anyone waits for it", async () => {
    const { backend, request, folder } = await kept([{ name: "enclave", file: "/nonexistent", args: [] }]);
    expect(await verdict(() => backend.run(request, never))).toMatch(/^ERR_LAUNCHER_HOST/);
    await expect(stat(folder)).rejects.toMatchObject({ code: "ENOENT" });
  });

  test("closing waits for one that is being terminated", async () => {
    const ready = [{ kind: "console", text: "Linux version ", withinMs: 10_000 }] as const;
    const { backend, request, enclaveId } = await kept([{ ...guest("enclave", "stubborn"), ready }]);
    const [pid = 0] = (await backend.run(request, never)).processIds;
    const terminating = backend.terminate(enclaveId);
    await backend.close();
    expect(await isAlive(pid)).toBe(false);
    await terminating;
    expect(backend.list()).toEqual([]);
  });
});
