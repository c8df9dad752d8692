/** The HTTPS host and the front door by raw requests: what is refused before, around and after the signature. */
import { createHash, createHmac } from "node:crypto";
import type { ClientRequestArgs } from "node:http";
import { Agent, request as httpsRequest } from "node:https";
import { connect } from "node:tls";
import { CreateKeyCommand, KMSClient } from "@aws-sdk/client-kms";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { MockAws } from "../../mock/aws/emulator.ts";
import { parseJson } from "../../mock/aws/json.ts";
import { identities, NOW, REGION, startTestbed } from "./testbed.ts";

let aws: MockAws;
beforeAll(async () => {
  aws = await startTestbed({ requestTimeoutMs: 400 });
});
afterAll(() => aws.close());

interface Reply {
  readonly status: number | undefined;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly text: string;
}

function post(
  headers: Readonly<Record<string, string>>,
  body: string | Uint8Array,
  args: ClientRequestArgs = {},
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const options = { method: "POST", path: "/", headers, ca: aws.caCertificatePem, agent: false, ...args };
    const request = httpsRequest(`${aws.url}`, options, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, text }));
    });
    request.on("error", reject);
    request.end(body);
  });
}

const AMZ_DATE = "20260301T120000Z";

/** Signs by hand: a second hand than the SDK's. */
function sign(body: string | Uint8Array, target = "TrentService.CreateKey", extra: Record<string, string> = {}) {
  const { accessKeyId, secretAccessKey, sessionToken } = identities.admin;
  const headers: Record<string, string> = {
    host: `127.0.0.1:${aws.port}`,
    "content-type": "application/x-amz-json-1.1",
    "x-amz-date": AMZ_DATE,
    "x-amz-security-token": sessionToken,
    "x-amz-target": target,
    ...extra,
  };
  const names = Object.keys(headers).sort();
  const lines = names.map((name) => `${name}:${headers[name]}\n`).join("");
  const hash = (data: string | Uint8Array): string => createHash("sha256").update(data).digest("hex");
  const scope = `20260301/${REGION}/kms/aws4_request`;
  const canonical = `POST\n/\n\n${lines}\n${names.join(";")}\n${hash(body)}`;
  let key: Buffer | string = `AWS4${secretAccessKey}`;
  for (const part of scope.split("/")) key = createHmac("sha256", key).update(part).digest();
  const text = `AWS4-HMAC-SHA256\n${AMZ_DATE}\n${scope}\n${hash(canonical)}`;
  const signature = createHmac("sha256", key).update(text).digest("hex");
  const authorization = `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${scope}, SignedHeaders=${names.join(";")}, Signature=${signature}`;
  return { ...headers, authorization };
}

const errorOf = (reply: Reply): unknown => (JSON.parse(reply.text) as { __type: string }).__type;

describe("awsJson1_1", () => {
  test("an answer: status, type, request id, the emulator's date", async () => {
    const reply = await post(sign("{}"), "{}");
    expect(reply.status).toBe(200);
    expect(reply.headers).toMatchObject({
      "content-type": "application/x-amz-json-1.1",
      "x-amzn-requestid": expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
      date: NOW.toUTCString(),
    });
    expect(aws.trail().at(-1)?.event.requestID).toBe(reply.headers["x-amzn-requestid"]);
  });

  test("AccessDenied writes Message, others message, some nothing", async () => {
    const missing = await post(sign('{"KeyId":"x"}', "TrentService.DescribeKey"), '{"KeyId":"x"}');
    expect(JSON.parse(missing.text)).toEqual({ __type: "NotFoundException", message: "Invalid keyId 'x'" });
    const blob = `{"CiphertextBlob":"${Buffer.from("nothing").toString("base64")}"}`;
    const opaque = await post(sign(blob, "TrentService.Decrypt"), blob);
    expect([opaque.status, JSON.parse(opaque.text)]).toEqual([400, { __type: "InvalidCiphertextException" }]);
    const foreign = '{"KeyId":"x","Policy":"{}"}';
    expect(Object.keys(JSON.parse((await post(sign(foreign, "TrentService.PutKeyPolicy"), foreign)).text))).toContain(
      "message",
    );
  });

  test.each([
    ["K11 no target", "", {}],
    ["K11 unknown operation", "TrentService.Explode", {}],
    ["K11 a name every object has", "TrentService.constructor", {}],
    ["K11 another service", "secretsmanager.GetSecretValue", {}],
    ["K11 more parts", "TrentService.CreateKey.x", {}],
    ["another path", "TrentService.CreateKey", { path: "/x" }],
    ["K09 presigned in the query", "TrentService.CreateKey", { path: "/?X-Amz-Algorithm=AWS4-HMAC-SHA256" }],
    ["another method", "TrentService.CreateKey", { method: "PUT" }],
  ])("%s → UnknownOperationException", async (_why, target, args) => {
    const reply = await post(sign("{}", target), "{}", args);
    expect([reply.status, errorOf(reply)]).toEqual([400, "UnknownOperationException"]);
  });

  test.each([
    ["K12 not JSON", "{"],
    ["K12 not an object", "[]"],
    ["K12 a name twice", '{"Description":"a","Description":"b"}'],
    ["K12 __proto__", '{"__proto__":{"Description":"a"}}'],
    ["K12 a byte order mark", "\ufeff{}"],
    ["K12 something after", "{}{}"],
    ["K12 nothing", ""],
    ["K12 40 levels", `{"a":${"[".repeat(40)}${"]".repeat(40)}}`],
    ["a number for a text", '{"Description":1}'],
    ["a text for a boolean", '{"BypassPolicyLockoutSafetyCheck":"true"}'],
  ])("%s → SerializationException", async (_why, body) => {
    const reply = await post(sign(body), body);
    expect([reply.status, errorOf(reply)]).toEqual([400, "SerializationException"]);
  });

  test.each([
    ["loose base64", '{"CiphertextBlob":"AA"}'],
    ["base64url", '{"CiphertextBlob":"-_-_"}'],
    ["a context value that is no text", '{"CiphertextBlob":"AAAA","EncryptionContext":{"a":1}}'],
    ["a document that is no blob", '{"CiphertextBlob":"AAAA","Recipient":{"AttestationDocument":[1]}}'],
  ])("%s → SerializationException", async (_why, body) => {
    expect(errorOf(await post(sign(body, "TrentService.Decrypt"), body))).toBe("SerializationException");
  });

  test("K12 bytes that are not UTF-8 → SerializationException", async () => {
    const body = Buffer.from('{"Description":"\xff"}', "latin1");
    expect(errorOf(await post(sign(body), body))).toBe("SerializationException");
  });

  test.each([
    ["content type", { "content-type": "application/json" }],
    ["K12 gzip", { "content-encoding": "gzip" }],
    ["K12 chunked", { "transfer-encoding": "chunked" }],
  ])("%s → SerializationException", async (_why, extra) => {
    const headers = { ...sign("{}"), ...extra };
    expect(errorOf(await post(headers, "{}"))).toBe("SerializationException");
  });

  test("unknown members are ignored, as AWS does; null is absent", async () => {
    const body = '{"Unknown":1,"Description":null}';
    expect((await post(sign(body), body)).status).toBe(200);
  });
});

describe("limits", () => {
  const MIB = 1_048_576;

  test("K12 1 MiB is read, one byte more is refused by its announcement", async () => {
    const body = `{"Unknown":"${"x".repeat(MIB - 14)}"}`;
    expect(body.length).toBe(MIB);
    expect((await post(sign(body), body)).status).toBe(200);
    const reply = await announce(`content-length: ${MIB + 1}`);
    expect(reply).toMatch(/^HTTP\/1\.1 400 .*connection: close.*SerializationException/is);
  });

  test("K12 a chunked body is cut at 1 MiB", async () => {
    const chunk = `10000\r\n${"x".repeat(0x10000)}\r\n`;
    const reply = await announce("transfer-encoding: chunked", chunk.repeat(17));
    expect(reply).toMatch(/^HTTP\/1\.1 400 .*SerializationException/s);
  });

  test("K15 both lengths → 400", async () => {
    expect(await announce("content-length: 2\r\ntransfer-encoding: chunked", "0\r\n\r\n")).toMatch(/^HTTP\/1\.1 400 /);
  });

  test("a body that does not come is given up", async () => {
    expect(await announce("content-length: 10", "{")).toMatch(/^HTTP\/1\.1 408 /);
  });

  test("headers that do not end are given up", async () => {
    expect(await raw("POST / HTTP/1.1\r\nhost: localhost\r\nx-a: ")).toMatch(/^HTTP\/1\.1 408 /);
  });

  function announce(headers: string, body = ""): Promise<string> {
    return raw(`POST / HTTP/1.1\r\nhost: localhost\r\n${headers}\r\n\r\n${body}`);
  }

  /** Writes and never ends; gives what the server says until it closes. */
  function raw(bytes: string): Promise<string> {
    return new Promise((resolve) => {
      let text = "";
      const socket = connect({ host: "127.0.0.1", port: aws.port, ca: aws.caCertificatePem, servername: "localhost" });
      socket.on("secureConnect", () => socket.write(bytes));
      socket.on("data", (chunk) => {
        text += chunk.toString("latin1");
      });
      socket.on("error", () => resolve(text));
      socket.on("close", () => resolve(text));
    });
  }
});

describe("TLS", () => {
  test("the certificate is good for every region's host and no other", async () => {
    const client = (host: string): KMSClient =>
      new KMSClient({
        ...{ endpoint: `https://${host}:${aws.port}`, region: REGION, credentials: identities.admin, maxAttempts: 2 },
        requestHandler: new NodeHttpHandler({
          httpsAgent: new Agent({
            ca: aws.caCertificatePem,
            lookup: (_host, _options, done) => done(null, [{ address: "127.0.0.1", family: 4 }]),
          }),
        }),
      });
    await client(`kms.${REGION}.amazonaws.com`).send(new CreateKeyCommand({}));
    const wrongRegion = client("kms.us-east-1.amazonaws.com").send(new CreateKeyCommand({}));
    await expect(wrongRegion).rejects.toMatchObject({ name: "InvalidSignatureException" });
    const elsewhere = client("kms.eu-west-1.amazonaws.com").send(new CreateKeyCommand({}));
    await expect(elsewhere).rejects.toMatchObject({ code: "ERR_TLS_CERT_ALTNAME_INVALID" });
  });

  test("nobody trusts it who was not told to", async () => {
    await expect(post({}, "", { ca: undefined } as ClientRequestArgs)).rejects.toMatchObject({
      code: expect.stringMatching(/SELF_SIGNED|UNABLE_TO_(GET_ISSUER|VERIFY)/) as string,
    });
  });
});

describe("parseJson", () => {
  test.each(['{"a":[1,-2.5e3,true,false,null,"\\u00e9\\n\\""]}', "  [ ]  ", "{}", '"x"', "0"])("reads %s", (text) => {
    expect(JSON.stringify(parseJson(text))).toBe(JSON.stringify(JSON.parse(text)));
  });
  test.each([
    '{"a":1,}',
    "[1,]",
    "{a:1}",
    "01",
    "+1",
    "nul",
    '"\\x"',
    '"a',
    '"\n"',
    "[1 2]",
    '{"a" 1}',
    "-",
    "",
    "[",
    '{"a"',
  ])("refuses %s", (text) => expect(() => parseJson(text)).toThrow(SyntaxError));
  test("refuses a name that is repeated by another spelling", () => {
    expect(() => parseJson('{"a":1,"\\u0061":2}')).toThrow(SyntaxError);
  });
});
