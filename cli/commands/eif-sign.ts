/**
 * `cloister eif sign`: writes a signed copy of an image, with a key that is here or elsewhere.
 *
 * @module
 */
import { createFile } from "../../image/eif-output.ts";
import { type EifSigner, signEifFile, toBeSignedOfFile } from "../../image/eif-sign.ts";
import { toHex } from "../../shared/bytes.ts";
import { type Arguments, readArguments, readInput } from "../arguments.ts";
import { type Terminal, UsageError } from "../terminal.ts";
import { measurementsJson, pcrsOf } from "./eif-text.ts";

const SIGN_USAGE = `usage: cloister eif sign FILE --certificate CERT.pem --key KEY.pem --out SIGNED.eif [--replace] [--json]
       cloister eif sign FILE --print-to-be-signed [--out TBS.bin]
       cloister eif sign FILE --certificate CERT.pem --signature SIGNATURE --out SIGNED.eif [--replace] [--json]

  signs PCR0 and prints the measurements; FILE is never changed, and nothing is overwritten
  --key FILE             a P-384 private key in PEM, PKCS#8 or SEC1; the one the certificate is for
  --print-to-be-signed   prints, in hex, the bytes that a key elsewhere signs with ECDSA and SHA-384; with --out as they are
  --signature FILE       the signature made elsewhere: DER, as AWS KMS gives it, or 96 bytes
  --replace              replaces a signature that is there

  example: cloister eif sign app.eif --certificate cert.pem --key key.pem --out signed.eif`;

export async function eifSign(args: readonly string[], { print }: Terminal): Promise<number> {
  const string = { type: "string" } as const;
  const boolean = { type: "boolean" } as const;
  const options = {
    certificate: string,
    key: string,
    signature: string,
    out: string,
    "print-to-be-signed": boolean,
    replace: boolean,
    json: boolean,
    help: boolean,
  };
  const { values, positionals } = readArguments(args, { options, operands: 1, usage: SIGN_USAGE });
  if (values["help"]) {
    print(SIGN_USAGE);
    return 0;
  }
  const [path = ""] = positionals;
  if (values["print-to-be-signed"]) return printToBeSigned(path, values["out"], print);
  const { certificate, out } = values;
  if (typeof certificate !== "string") throw new UsageError("--certificate is missing", SIGN_USAGE);
  if (typeof out !== "string") throw new UsageError("--out is missing", SIGN_USAGE);
  const signer = await readSigner(values);
  const certificatePem = await readInput(certificate);
  const replace = values["replace"] === true;
  const measurements = await signEifFile(path, { signer, certificatePem, output: out, replace });
  if (values["json"]) print(JSON.stringify({ Measurements: measurementsJson(measurements) }));
  else for (const [name, value] of Object.entries(pcrsOf(measurements))) print(`${name} ${value}`);
  return 0;
}

async function printToBeSigned(
  path: string,
  out: string | boolean | undefined,
  print: Terminal["print"],
): Promise<number> {
  const bytes = await toBeSignedOfFile(path);
  if (typeof out !== "string") print(toHex(bytes));
  else await createFile(out, (file) => file.append(bytes));
  return 0;
}

async function readSigner({ key, signature }: Arguments["values"]): Promise<EifSigner> {
  if (typeof key === "string" && signature === undefined) {
    return { kind: "key", pem: await readInput(key), name: key };
  }
  if (typeof signature === "string" && key === undefined) {
    return { kind: "signature", bytes: await readInput(signature) };
  }
  throw new UsageError("one of --key and --signature is needed", SIGN_USAGE);
}
