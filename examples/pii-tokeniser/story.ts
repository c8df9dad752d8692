/**
 * The tokeniser over 10,000 wildlife strikes that were reported to the US Federal Aviation Administration, as the data's
 * owner, its auditor and the parent see it.
 *
 * @module
 */
import { createHash, randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type { Example, Stage } from "../run/example.ts";
import { fieldsOf } from "./records.ts";

const OPERATOR = "Aircraft Airline Operator";
const COST = "Cost Total $";
const QUERY = new URLSearchParams({ token: OPERATOR, seal: COST });
const OTHER = "ab".repeat(48);
const CONTEXT = { service: "tokeniser" };
const AUDITOR = randomBytes(32).toString("base64url");

type Row = Readonly<Record<string, string>>;

export const example: Example = {
  enclaveMay: ["kms:Decrypt"],
  configuration: (setting) => ({ ...setting, openers: [createHash("sha256").update(AUDITOR).digest("hex")] }),
  async tell(stage) {
    const { story, refused } = stage;
    const table = await readStrikes();
    const rows = rowsOf(table);
    const sealedKey = await loadKey(stage);

    const columns = { rows, table };
    const { first } = await replaceCsv(stage, columns);
    await replaceNdjson(stage, rows, first);
    await refused("a column that is not in the table", "COLUMN_IS_NOT_THERE", () =>
      stage.ask("/tables?token=Passenger", post("text/csv", table.slice(0, 1_000))),
    );

    const { [COST]: sealed = "" } = first;
    const asked = JSON.stringify({ column: COST, sealed });
    await story.step(
      "the auditor opens a sealed value",
      async () => {
        const { value } = (await (await open(stage, AUDITOR, asked)).json()) as { readonly value: string };
        if (value !== rows[0]?.[COST]) throw new Error("another value");
        return value;
      },
      (value) => `${COST} is ${value}`,
    );
    await refused("somebody else opens it", "NO_OPENER", () => open(stage, "guessed", asked));
    const moved = JSON.stringify({ column: OPERATOR, sealed });
    await refused("the auditor opens it as another column's", "NOT_OPENED", () => open(stage, AUDITOR, moved));
    await refused("a parent that names itself as opener: the client", "ERR_ATTESTATION_PCR_MISMATCH", () =>
      stage.ask("/tables", {
        ...post("text/csv", table),
        policy: { ...stage.policy, images: [{ ...stage.registers, 16: OTHER }] },
      }),
    );
    await refused("the parent, with the enclave's own role, opens the data key", "ERR_KMS_ACCESS_DENIED", () =>
      stage.kms("enclave").decrypt({ KeyId: stage.keyArn, CiphertextBlob: sealedKey, EncryptionContext: CONTEXT }),
    );
    await stage.unseen("what the parent carried, searched", {
      "a row": table.split("\n")[5_000] ?? "",
      ...{ "an operator": rows[0]?.[OPERATOR] ?? "", "the auditor's secret": AUDITOR },
    });
  },
};

/** A data key that nobody has seen: KMS gives it sealed only, and opens it for the enclave. */
async function loadKey({ story, kms, keyArn, gate, registers, refused, ask }: Stage): Promise<Uint8Array> {
  const asked = { KeyId: keyArn, KeySpec: "AES_256", EncryptionContext: CONTEXT } as const;
  const { CiphertextBlob: sealedKey } = await kms("owner").generateDataKeyWithoutPlaintext(asked);
  if (!sealedKey) throw new TypeError("GenerateDataKeyWithoutPlaintext answers with a ciphertext");
  const load = (): Promise<Response> => ask("/key", { method: "PUT", body: sealedKey });
  for (const index of [0, 16] as const) {
    await gate({ ...registers, [index]: OTHER });
    const what = index === 0 ? "image" : "configuration";
    await refused(`the owner's policy names another ${what}`, "ERR_KMS_ACCESS_DENIED", load);
  }
  await gate(registers);
  await story.step("it names this one: the enclave has a data key that nobody outside has seen", load, () => "loaded");
  return sealedKey;
}

async function replaceCsv({ story, ask }: Stage, { table, rows }: { table: string; rows: readonly Row[] }) {
  return story.step(
    `${rows.length} rows of CSV stream through: operators become tokens, costs are sealed`,
    async () => {
      const half = table.indexOf("\n", table.length / 2);
      let askForMore = (): void => {};
      const more = new Promise<void>((resolve) => {
        askForMore = resolve;
      });
      const body = async function* (): AsyncGenerator<Uint8Array> {
        yield Buffer.from(table.slice(0, half));
        await more;
        yield Buffer.from(table.slice(half));
      };
      const response = await ask(`/tables?${QUERY}`, post("text/csv", ReadableStream.from(body())));
      // The answer has begun, and half of the question is not sent yet.
      askForMore();
      const replaced = rowsOf(await response.text());
      const [first] = replaced;
      if (!first || replaced.length !== rows.length) throw new Error("rows are missing");
      const isKept = replaced.every((row, index) =>
        Object.entries(row).every(
          ([name, value]) => (value === rows[index]?.[name]) === (name !== OPERATOR && name !== COST),
        ),
      );
      if (!isKept) throw new Error("another column changed, or one of these did not");
      const count = (of: readonly Row[], column: string): number => new Set(of.map((row) => row[column])).size;
      const operators = count(rows, OPERATOR);
      if (count(replaced, OPERATOR) !== operators) throw new Error("tokens do not stand for values one to one");
      if (count(replaced, COST) !== rows.length) throw new Error("a sealed value came twice");
      return { first, operators };
    },
    ({ first, operators }) => `${operators} operators; ${rows[0]?.[OPERATOR]} is ${first[OPERATOR]}`,
  );
}

async function replaceNdjson({ story, ask }: Stage, rows: readonly Row[], first: Row): Promise<void> {
  await story.step(
    "the same as NDJSON: tokens are the same, so the tables can be joined",
    async () => {
      const lines = rows.map((row) => `${JSON.stringify(row)}\n`).join("");
      const response = await ask(`/tables?${QUERY}`, post("application/x-ndjson", lines));
      const replaced = (await response.text()).trimEnd().split("\n");
      const row = JSON.parse(replaced[0] ?? "{}") as Row;
      if (replaced.length !== rows.length || row[OPERATOR] !== first[OPERATOR]) throw new Error("another token");
      if (row[COST] === first[COST]) throw new Error("a sealed value came twice");
      return String(row[OPERATOR]);
    },
    String,
  );
}

function open({ ask }: Stage, secret: string, body: string): Promise<Response> {
  return ask("/values", { method: "POST", headers: { authorization: `Bearer ${secret}` }, body });
}

function post<Body>(type: string, body: Body) {
  return { method: "POST", headers: { "content-type": type }, body };
}

function rowsOf(table: string): readonly Row[] {
  const [head = "", ...records] = table.trimEnd().split(/\r?\n/);
  const header = fieldsOf(head);
  return records.map((record) => Object.fromEntries(fieldsOf(record).map((value, index) => [header[index], value])));
}

/** It lies in `vega-datasets` beside the one file that the package exports. */
async function readStrikes(): Promise<string> {
  const entry = createRequire(import.meta.url).resolve("vega-datasets");
  return readFile(join(dirname(entry), "..", "data", "birdstrikes.csv"), "utf8");
}
