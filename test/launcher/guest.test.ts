/** One guest of an emulated instance, with stand-ins for QEMU: what boots it is the same as for a launcher's enclave. */
import { describe, expect, test } from "vitest";
import { BootError, Guest } from "../../mock/emulator/guest.ts";
import { FAKE_GUEST, isAlive, scratch } from "./fixture.ts";

const PATIENT = { timeout: 60_000 };
const LATE = 'setTimeout(() => console.log("late line"), 100); setTimeout(() => process.exit(0), 300);';
const SAYS = `console.log("Linux version 6.12\\nup"); ${LATE}`;

async function boot(args: readonly string[], { booted = "inside", firstLineMs = 1_500 } = {}): Promise<Guest> {
  const folder = await scratch();
  const filled = args.map((arg) => (arg === "FOLDER" ? folder : arg));
  return Guest.boot({ command: { file: process.execPath, args: filled }, folder, booted, firstLineMs, bootMs: 1_500 });
}

describe("a guest", PATIENT, () => {
  test("that hangs in its firmware is begun again, and counted", async () => {
    await using guest = await boot([FAKE_GUEST, "boot", "FOLDER", "1"]);
    expect(guest.retries).toBe(1);
    expect(guest.console).toContain("inside");
    expect(guest.console.match(/Booting/g)?.length).toBe(1);
  });

  test("that never says that it booted is an error with its console, and is gone", async () => {
    const error = await boot([FAKE_GUEST, "boot", "FOLDER", "0"], { booted: "never" }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(BootError);
    expect(error).toMatchObject({ cause: { code: "ERR_LAUNCHER_BOOT", details: { attempts: 3, waitedFor: "never" } } });
    expect((error as BootError).console).toContain("inside");
  });

  test("that ends before is an error at once", async () => {
    const error = await boot([FAKE_GUEST, "exit", "5"], { firstLineMs: 600_000 }).catch((e: unknown) => e);
    expect(error).toMatchObject({ cause: { code: "ERR_LAUNCHER_TOOL_FAILED", details: { reason: "exit code 5" } } });
  });

  test("is waited for: by what it says, until it switches itself off", async () => {
    await using guest = await boot(["-e", SAYS], { booted: "up" });
    await guest.says(/^late line$/m, 10_000);
    await guest.ended;
    await guest.says(/late/, 0);
    await expect(guest.says(/never/, 600_000)).rejects.toBeInstanceOf(BootError);
  });

  test("is not waited for longer than was said, and is ended with its processes", async () => {
    const guest = await boot(["-e", 'console.log("Linux version", process.pid, "up"); setInterval(() => {}, 1_000);'], {
      booted: "up",
    });
    await expect(guest.says(/never/, 50)).rejects.toBeInstanceOf(BootError);
    const pid = Number(/version (\d+)/.exec(guest.console)?.[1]);
    expect(await isAlive(pid)).toBe(true);
    await guest[Symbol.asyncDispose]();
    expect(await isAlive(pid)).toBe(false);
  });
});
