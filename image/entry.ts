/**
 * Writes the entry file of an image: the one place where platforms differ, and a part of what is measured.
 *
 * The entry hands the application its `Platform` and its configuration as values. Roots are in the image, so an image
 * that trusts other roots has other PCRs, by design. The application is `app.mjs` beside it and exports `enclave`, as
 * `defineEnclave` makes it; or by themselves what is in it: `main` and, for the mock platform, `openNsmSocket`, for the
 * others `openNsmDevice`.
 *
 * The configuration stands there as JSON in a text: in an object literal a key `__proto__` would be no key.
 *
 * @module
 */
import { utf8 } from "../shared/bytes.ts";

/** What every entry file holds. */
export interface EntryOptions {
  /** DER certificates that peers' attestation documents may chain to. */
  readonly attestationRoots: readonly Uint8Array[];
  /** PEM certificates that TLS servers must chain to. */
  readonly tlsRoots: readonly string[];
  /** The application's own measured configuration, plain JSON. */
  readonly config: object;
}

/** The entry for mock mode: NSM on a Unix socket, and folders of Unix sockets where vsock would be. */
export function mockEntry(options: EntryOptions): Uint8Array {
  return writeEntry(options, {
    open: "openNsmSocket",
    nsm: `openNsmSocket("./nsm.sock")`,
    parent: `{ kind: "unix", folder: "./parent" }`,
    self: `{ kind: "unix", folder: "./self" }`,
    systemRoot: "undefined",
  });
}

/** The entry for an enclave that boots: `/dev/nsm`, and vsock with the parent at CID 3. */
export function deviceEntry(options: EntryOptions): Uint8Array {
  return writeEntry(options, {
    open: "openNsmDevice",
    nsm: "openNsmDevice()",
    parent: `{ kind: "vsock", cid: 3 }`,
    self: `{ kind: "vsock", cid: ${VMADDR_CID_ANY} }`,
    systemRoot: `"/"`,
  });
}

/** Binds to whatever context id the enclave was given. Source: vsock(7). */
const VMADDR_CID_ANY = 0xffff_ffff;

/** The expressions in which platforms differ. */
interface Differences {
  readonly open: string;
  readonly nsm: string;
  readonly parent: string;
  readonly self: string;
  /** Only an enclave that boots has a kernel that is its own. */
  readonly systemRoot: string;
}

function writeEntry(
  { attestationRoots, tlsRoots, config }: EntryOptions,
  { open, nsm, parent, self, systemRoot }: Differences,
): Uint8Array {
  const roots = attestationRoots.map((der) => toBase64(der));
  return utf8(`import * as app from "./app.mjs";

const { main, ${open} } = app.enclave ?? app;
const attestationRoots = ${JSON.stringify(roots, null, 2)};
const tlsRoots = ${JSON.stringify(tlsRoots, null, 2)};
const config = JSON.parse(${JSON.stringify(JSON.stringify(config))});

await main(
  {
    nsm: await ${nsm},
    attestationRoots: attestationRoots.map((der) => Uint8Array.from(atob(der), (character) => character.charCodeAt(0))),
    tlsRoots,
    parent: ${parent},
    self: ${self},
    systemRoot: ${systemRoot},
  },
  config,
);
`);
}

function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}
