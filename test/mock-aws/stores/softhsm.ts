/** A SoftHSM2 token in a folder of its own, and a second way to look into it. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** CLOISTER_SOFTHSM2, or where Debian's libsofthsm2 puts it. */
const CANDIDATES = [
  process.env["CLOISTER_SOFTHSM2"],
  "/usr/lib/softhsm/libsofthsm2.so",
  "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
  "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
];

/** Path of the library; the tests that need it are skipped by name without. */
export const SOFTHSM2: string | undefined = CANDIDATES.find((path) => path !== undefined && existsSync(path));
export const SKIP_REASON = SOFTHSM2 === undefined ? " (skipped: no SoftHSM2, see CLOISTER_SOFTHSM2)" : "";

export const PASSWORD = "kmsPswd-7x";
export const LABEL = "cluster-1a23b4cdefg";
export const PKCS11JS = createRequire(import.meta.url).resolve("pkcs11js");

export interface SoftToken extends AsyncDisposable {
  readonly library: string;
  readonly environment: Readonly<Record<string, string>>;
  /** The token's folder goes away, as a cluster does that can not be reached; `true` brings it back. */
  setPresent(present: boolean): Promise<void>;
  /** Runs PKCS#11 calls in another process, with a session of its own: `p`, `m`, `slot` and `s` are there. */
  peek(script: string, pin?: string): unknown;
}

export async function makeToken({
  userPin = `kmsuser:${PASSWORD}`,
}: {
  userPin?: string | null;
} = {}): Promise<SoftToken> {
  if (SOFTHSM2 === undefined) throw new Error("no SoftHSM2");
  const folder = await mkdtemp(join(tmpdir(), "softhsm-"));
  const tokens = join(folder, "tokens");
  const away = join(folder, "away");
  await mkdir(tokens);
  const config = join(folder, "softhsm2.conf");
  // The library says errors of its own on standard error; this level is the quietest.
  await writeFile(config, `directories.tokendir = ${tokens}\nobjectstore.backend = file\nlog.level = ERROR\n`);
  const environment = { SOFTHSM2_CONF: config };
  const library = SOFTHSM2;
  run(
    environment,
    `const m = new p.PKCS11(); m.load(${JSON.stringify(library)}); m.C_Initialize();
     m.C_InitToken(m.C_GetSlotList(true)[0], "so-pin", ${JSON.stringify(LABEL)});
     const slot = m.C_GetSlotList(true)[0];
     const s = m.C_OpenSession(slot, p.CKF_SERIAL_SESSION | p.CKF_RW_SESSION);
     m.C_Login(s, p.CKU_SO, "so-pin");
     ${userPin === null ? "" : `m.C_InitPIN(s, ${JSON.stringify(userPin)});`}
     m.C_Finalize(); return null;`,
  );
  return {
    library,
    environment,
    setPresent: (present) => (present ? rename(away, tokens) : rename(tokens, away)),
    peek: (script, pin = userPin ?? "") =>
      run(
        environment,
        `const m = new p.PKCS11(); m.load(${JSON.stringify(library)}); m.C_Initialize();
         const slot = m.C_GetSlotList(true)[0];
         const s = m.C_OpenSession(slot, p.CKF_SERIAL_SESSION | p.CKF_RW_SESSION);
         m.C_Login(s, p.CKU_USER, ${JSON.stringify(pin)});
         const find = (template) => { m.C_FindObjectsInit(s, template); const f = m.C_FindObjects(s, 100); m.C_FindObjectsFinal(s); return f; };
         const result = (() => { ${script} })(); m.C_Finalize(); return result;`,
      ),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

function run(env: Readonly<Record<string, string>>, script: string): unknown {
  const program = `const p = require(${JSON.stringify(PKCS11JS)});
    process.stdout.write(JSON.stringify((() => { ${script} })() ?? null));`;
  return JSON.parse(execFileSync(process.execPath, ["-e", program], { env, encoding: "utf8" }));
}
