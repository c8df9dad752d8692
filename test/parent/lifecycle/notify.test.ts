import { spawn } from "node:child_process";
import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { createNotify } from "../../../parent/systemd/notify.ts";
import { scratchFolder } from "../../transport/streams.ts";

/** A program in the place of `systemd-notify`: writes what it was told, and where it should have gone. */
function recorder(exitCode = 0): { readonly file: string; readonly told: () => string } {
  const folder = scratchFolder();
  const [file, log] = [join(folder, "notify"), join(folder, "log")];
  writeFileSync(
    file,
    `#!/bin/sh\nfor word; do printf '%s;' "$word"; done >>'${log}'\necho " $NOTIFY_SOCKET" >>'${log}'\nexit ${exitCode}\n`,
  );
  chmodSync(file, 0o755);
  return { file, told: () => (existsSync(log) ? readFileSync(log, "utf8") : "") };
}

const faults: string[] = [];
const onFault = (code: string): void => void faults.push(code);

describe("sd_notify", () => {
  test("without a socket nothing is sent", async () => {
    const { file, told } = recorder();
    for (const socket of [undefined, ""]) {
      const notify = createNotify({ socket, watchdogUsec: "30000000", file, onFault });
      notify.send("READY=1");
      await notify.flush();
      expect(notify.watchdogMs).toBeUndefined();
    }
    expect(told()).toBe("");
  });

  test("messages go one after the other, whole", async () => {
    const { file, told } = recorder();
    const notify = createNotify({ socket: "/run/x", file, onFault });
    notify.send("RELOADING=1\nMONOTONIC_USEC=7");
    notify.send("READY=1");
    await notify.flush();
    expect(told()).toBe("RELOADING=1;MONOTONIC_USEC=7; /run/x\nREADY=1; /run/x\n");
  });

  test("a message that can not be sent is told, and the next is tried", async () => {
    faults.length = 0;
    const missing = createNotify({ socket: "/run/x", file: "/nowhere/systemd-notify", onFault });
    missing.send("READY=1");
    missing.send("STOPPING=1");
    await missing.flush();
    expect(faults).toEqual(["ENOENT", "ENOENT"]);
    const failing = createNotify({ socket: "/run/x", file: recorder(1).file, onFault });
    failing.send("READY=1");
    await failing.flush();
    expect(faults).toHaveLength(3);
  });

  test.each<[string | undefined, string | undefined, number | undefined]>([
    ["30000000", undefined, 30_000],
    ["30000000", String(process.pid), 30_000],
    ["30000000", "1", undefined],
    ["0", undefined, undefined],
    ["soon", undefined, undefined],
    [undefined, undefined, undefined],
  ])("a watchdog of %s us for process %s", (watchdogUsec, watchdogPid, expected) => {
    const notify = createNotify({ socket: "/run/x", watchdogUsec, watchdogPid, onFault });
    expect(notify.watchdogMs).toBe(expected);
  });

  test("its clock is the one that systemd compares with", () => {
    const notify = createNotify({ onFault });
    const uptimeUs = Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]) * 1e6;
    // CLOCK_MONOTONIC stands still while the machine sleeps, the uptime does not.
    expect(Number(notify.monotonicUs())).toBeLessThan(uptimeUs + 1e6);
    expect(notify.monotonicUs()).toBeGreaterThan(0n);
  });

  test("systemd's own program delivers it", async (context) => {
    const program = "/usr/bin/systemd-notify";
    const python = ["/usr/bin/python3", "/usr/local/bin/python3"].find(existsSync);
    if (!existsSync(program) || !python) return context.skip("no systemd-notify, or no python3 to receive a datagram");
    const socket = join(scratchFolder(), "n");
    // A descriptor that comes along is systemd's barrier: closed, it lets the sender go on.
    const script = `
import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(sys.argv[1]); print("bound", flush=True)
seen = 0
while seen < 2:
    data, fds, _, _ = socket.recv_fds(s, 4096, 4)
    for fd in fds: os.close(fd)
    if b"BARRIER" not in data: seen += 1; print(data.decode().replace("\\n", ";"), flush=True)
`;
    const receiver = spawn(python, ["-c", script, socket]);
    let output = "";
    await new Promise<void>((resolve) =>
      receiver.stdout.on("data", (chunk: Buffer) => {
        output += chunk.toString();
        if (output.includes("bound")) resolve();
      }),
    );
    faults.length = 0;
    const notify = createNotify({ socket, file: program, onFault });
    notify.send("RELOADING=1\nMONOTONIC_USEC=7");
    notify.send("READY=1");
    await new Promise((resolve) => receiver.once("close", resolve));
    expect(
      output
        .trim()
        .split("\n")
        .slice(1)
        .map((line) => line.replace(/;$/, "")),
    ).toEqual(["RELOADING=1;MONOTONIC_USEC=7", "READY=1"]);
    await notify.flush();
  });
});
