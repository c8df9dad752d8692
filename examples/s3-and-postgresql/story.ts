/**
 * Orders in PostgreSQL and S3, as the shop's owner, the servers' operators and the parent see them.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { CopyObjectCommand, GetObjectCommand } from "@aws-sdk/client-s3";
import { REGION } from "../run/cloud.ts";
import type { Example, Servers, Stage } from "../run/example.ts";
import { makeIdentity } from "./certificate.ts";
import { type ObjectServer, startMoto } from "./moto.ts";
import { type Postgresql, startPostgresql } from "./postgresql.ts";

const [USER, PASSWORD, BUCKET] = ["shop", randomBytes(24).toString("base64url"), "shop-exports"];
const DATABASE = { host: "orders.shop.internal", port: 5432, user: USER, password: PASSWORD, database: "postgres" };
/** The parent sends it to the same server, which has no certificate for this name. */
const IMPOSTOR = "other.shop.internal";
const CUSTOMER = `Mrs "Canary" ${randomBytes(16).toString("hex")}`;

let postgresql: Postgresql | undefined;
let objects: ObjectServer | undefined;

export const example: Example = {
  enclaveMay: ["kms:GenerateDataKey", "kms:Decrypt"],
  configuration: (setting) => ({ ...setting, bucket: BUCKET }),
  servers,
  async tell(stage) {
    const { refused, unseen } = stage;
    await refused("a database that the parent does not allow", "ERR_TRANSPORT_HOST_NOT_ALLOWED", () =>
      useDatabase(stage, { host: "database.example.com" }),
    );
    if (postgresql) await keepOrders(stage);
    else stage.story.remark("skipped: postgresql is not installed");
    if (postgresql && objects) await exportOrders(stage, objects);
    else if (postgresql) stage.story.remark("skipped: moto is not installed");
    const order = { customer: CUSTOMER, "its unquoted part": CUSTOMER.slice(-32) };
    await unseen("what the parent carried, searched", { ...order, "the database's password": PASSWORD });
  },
};

async function servers(): Promise<Servers> {
  const tls = await makeIdentity([DATABASE.host, `s3.${REGION}.amazonaws.com`]);
  postgresql = await startPostgresql({ ...tls, user: USER, password: PASSWORD });
  objects = await startMoto({ ...tls, region: REGION, bucket: BUCKET });
  return {
    hosts: {
      ...(postgresql && { [`${DATABASE.host}:5432`]: postgresql.port, [`${IMPOSTOR}:5432`]: postgresql.port }),
      ...(objects && { [`s3.${REGION}.amazonaws.com:443`]: objects.port }),
    },
    tlsRoot: tls.certificate,
    files: { "database-root.pem": tls.certificate },
    async [Symbol.asyncDispose]() {
      await objects?.[Symbol.asyncDispose]();
      await postgresql?.[Symbol.asyncDispose]();
    },
  };
}

async function keepOrders({ story, refused, ...stage }: Stage): Promise<void> {
  await refused("a server without a certificate for the name that was asked", "ERR_TRANSPORT_TLS_REFUSED", () =>
    useDatabase(stage, { host: IMPOSTOR }),
  );
  await story.step(
    "the owner hands the database's password to the enclave, which connects",
    () => useDatabase(stage, {}),
    () => `${DATABASE.host}, TLS under a root in the image`,
  );
  await story.step(
    "orders are stored",
    async () => {
      const ids: number[] = [];
      for (const cents of [1_250, 990]) {
        const body = JSON.stringify({ customer: CUSTOMER, cents });
        ids.push(((await (await stage.ask("/orders", { method: "POST", body })).json()) as { id: number }).id);
      }
      if (ids.join() !== "1,2") throw new Error(`ids ${ids.join()}`);
      return ids;
    },
    (ids) => `ids ${ids.join(" and ")}`,
  );
}

async function exportOrders(stage: Stage, { client }: ObjectServer): Promise<void> {
  const { story, ask, gate, registers, refused } = stage;
  await story.step(
    "an export goes to S3 sealed, and is read back",
    async () => {
      await ask("/exports/november", { method: "PUT" });
      const text = await (await ask("/exports/november")).text();
      const quoted = CUSTOMER.replaceAll('"', '""');
      if (text !== `1,"${quoted}",1250\n2,"${quoted}",990\n`) throw new Error("another export");
    },
    () => "2 rows",
  );
  await story.step(
    "the bucket's operator reads the object: sealed",
    async () => {
      const { Body } = await client.send(new GetObjectCommand({ Bucket: BUCKET, Key: "exports/november" }));
      const bytes = Buffer.from((await Body?.transformToByteArray()) ?? []);
      if (bytes.length === 0 || bytes.includes(CUSTOMER.slice(-32))) throw new Error("it is in clear");
      return bytes.length;
    },
    (length) => `${length} bytes, no customer's name in them`,
  );
  const copied = { Bucket: BUCKET, Key: "exports/december", CopySource: `${BUCKET}/exports/november` };
  await client.send(new CopyObjectCommand(copied));
  await refused("the operator passes one month's export off as another's", "ERR_DATA_NOT_OPENED", () =>
    ask("/exports/december"),
  );
  await gate({ ...registers, 0: "ab".repeat(48) });
  await refused("the owner's policy names another image", "ERR_KMS_ACCESS_DENIED", () => ask("/exports/november"));
}

function useDatabase({ ask }: Pick<Stage, "ask">, other: Partial<typeof DATABASE>): Promise<Response> {
  return ask("/database", { method: "PUT", body: JSON.stringify({ ...DATABASE, ...other }) });
}
