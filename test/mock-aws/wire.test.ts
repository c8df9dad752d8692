/** The host and the front door by raw requests: what is refused before, around and after the signature. */
import { createHash, createHmac } from "node:crypto";
import { type ClientRequestArgs, request as httpRequest } from "node:http";
import { Agent, request as httpsRequest } from "node:https";
import { connect as connectPlain } from "node:net";
import { connect } from "node:tls";
import { GenerateRandomCommand, KMSClient } from "@aws-sdk/client-kms";
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AwsFault } from "../../mock/aws/fault.ts";
import { parseJson } from "../../mock/aws/json.ts";
import { ACCOUNT, allow, type Bed, NOW, outcome, REGION, startBed, userKeys } from "./door-bed.ts";

const keys = userKeys();
const accounts = [
  {
    accountId: ACCOUNT,
    principals: [{ type: "user" as const, name: "alice", identityPolicies: [allow("*")], credentials: [keys] }],
  },
];

let bed: Bed;
beforeAll(async () => {
  bed = await startBed(accounts, { requestTimeoutMs: 400 });
});
afterAll(() => bed[Symbol.asyncDispose]());

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
    const options = { method: "POST", path: "/", headers, ca: bed.identity.caCertificatePem, agent: false, ...args };
    const request = httpsRequest(bed.url, options, (response) => {
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
function sign(body: string | Uint8Array, target = "TrentService.GenerateRandom", extra: Record<string, string> = {}) {
  const headers: Record<string, string> = {
    host: `127.0.0.1:${bed.port}`,
    "content-type": "application/x-amz-json-1.1",
    "x-amz-date": AMZ_DATE,
    "x-amz-target": target,
    ...extra,
  };
  return { ...headers, authorization: authorizationOf(headers, body, "kms") };
}

/** A signed form; the parameters of an STS call. */
function form(body: string, extra: Record<string, string> = {}) {
  const headers: Record<string, string> = {
    ...{ host: `127.0.0.1:${bed.port}`, "content-type": "application/x-www-form-urlencoded; charset=utf-8" },
    "x-amz-date": AMZ_DATE,
    ...extra,
  };
  return { ...headers, authorization: authorizationOf(headers, body, "sts") };
}

function authorizationOf(
  headers: Readonly<Record<string, string>>,
  body: string | Uint8Array,
  service: string,
  order = (names: string[]): string[] => names,
): string {
  const names = order(Object.keys(headers).sort());
  const lines = names.map((name) => `${name}:${headers[name]}\n`).join("");
  const hash = (data: string | Uint8Array): string => createHash("sha256").update(data).digest("hex");
  const scope = `20260301/${REGION}/${service}/aws4_request`;
  const canonical = `POST\n/\n\n${lines}\n${names.join(";")}\n${hash(body)}`;
  let key: Buffer | string = `AWS4${keys.secretAccessKey}`;
  for (const part of scope.split("/")) key = createHmac("sha256", key).update(part).digest();
  const text = `AWS4-HMAC-SHA256\n${AMZ_DATE}\n${scope}\n${hash(canonical)}`;
  const signature = createHmac("sha256", key).update(text).digest("hex");
  return `AWS4-HMAC-SHA256 Credential=${keys.accessKeyId}/${scope}, SignedHeaders=${names.join(";")}, Signature=${signature}`;
}

const errorOf = (reply: Reply): unknown => (JSON.parse(reply.text) as { __type: string }).__type;
const codeOf = (reply: Reply): unknown => /<Code>(.*?)<\/Code>/.exec(reply.text)?.[1];

describe("awsJson1_1", () => {
  test("an answer: status, type, request id, the emulator's date", async () => {
    const reply = await post(sign("{}"), "{}");
    expect(reply.status).toBe(200);
    expect(reply.headers).toMatchObject({
      "content-type": "application/x-amz-json-1.1",
      "x-amzn-requestid": expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
      date: NOW.toUTCString(),
    });
    expect(bed.calls.at(-1)?.requestId).toBe(reply.headers["x-amzn-requestid"]);
  });

  test("AccessDenied writes Message, others message, some nothing", () => {
    expect(JSON.parse(new AwsFault("AccessDeniedException", "no").body())).toMatchObject({ Message: "no" });
    expect(JSON.parse(new AwsFault("NotFoundException", "no").body())).toMatchObject({ message: "no" });
    expect(new AwsFault("InvalidCiphertextException").body()).toBe('{"__type":"InvalidCiphertextException"}');
  });

  test.each([
    ["K11 no target", "", {}],
    ["K11 unknown operation", "TrentService.Explode", {}],
    ["K11 a name every object has", "TrentService.constructor", {}],
    ["K11 another service", "secretsmanager.GetSecretValue", {}],
    ["K11 more parts", "TrentService.GenerateRandom.x", {}],
    ["another path", "TrentService.GenerateRandom", { path: "/x" }],
    ["another method", "TrentService.GenerateRandom", { method: "PUT" }],
  ])("%s → UnknownOperationException", async (_why, target, args) => {
    const reply = await post(sign("{}", target), "{}", args);
    expect([reply.status, errorOf(reply)]).toEqual([400, "UnknownOperationException"]);
  });

  test("K09 presigned in the query → IncompleteSignatureException", async () => {
    const path = "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=0";
    expect(errorOf(await post(sign("{}"), "{}", { path }))).toBe("IncompleteSignatureException");
  });

  test.each([
    ["K12 not JSON", "{"],
    ["K12 not an object", "[]"],
    ["K12 a name twice", '{"NumberOfBytes":1,"NumberOfBytes":2}'],
    ["K12 __proto__", '{"__proto__":{"NumberOfBytes":1}}'],
    ["K12 a byte order mark", "\ufeff{}"],
    ["K12 something after", "{}{}"],
    ["K12 nothing", ""],
    ["K12 40 levels", `{"a":${"[".repeat(40)}${"]".repeat(40)}}`],
  ])("%s → SerializationException", async (_why, body) => {
    const reply = await post(sign(body), body);
    expect([reply.status, errorOf(reply)]).toEqual([400, "SerializationException"]);
  });

  test.each<readonly [string, Record<string, string>, (names: string[]) => string[]]>([
    ["K05 UNSIGNED-PAYLOAD, signed with the body", { "x-amz-content-sha256": "UNSIGNED-PAYLOAD" }, (names) => names],
    ["K04 another hash, signed with the body", { "x-amz-content-sha256": "0".repeat(64) }, (names) => names],
    ["K08 signed in another order", {}, (names) => names.reverse()],
    ["K08 one signed twice", {}, (names) => ["content-type", ...names]],
    ["K08 the target not signed", {}, (names) => names.filter((name) => name !== "x-amz-target")],
  ])("%s → InvalidSignatureException", async (_why, extra, order) => {
    const { authorization: _, ...headers } = sign("{}", undefined, extra);
    const authorization = authorizationOf(headers, "{}", "kms", order);
    expect(errorOf(await post({ ...headers, authorization }, "{}"))).toBe("InvalidSignatureException");
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
});

describe("awsQuery", () => {
  const WHO = "Action=GetCallerIdentity&Version=2011-06-15";

  test("an answer in XML, and the refusal in XML", async () => {
    const reply = await post(form(WHO), WHO);
    expect([reply.status, reply.headers["content-type"]]).toEqual([200, "text/xml"]);
    expect(reply.text).toMatch(
      /^<GetCallerIdentityResponse xmlns="https:\/\/sts\.amazonaws\.com\/doc\/2011-06-15\/">\s*<GetCallerIdentityResult>/,
    );
    expect(reply.text).toContain(`<RequestId>${reply.headers["x-amzn-requestid"]}</RequestId>`);
    const refused = await post({ ...form(WHO), authorization: "" }, WHO);
    expect([refused.status, codeOf(refused)]).toEqual([400, "IncompleteSignature"]);
    expect(refused.text).toMatch(/<ErrorResponse xmlns="[^"]+">\s*<Error>\s*<Type>Sender<\/Type>/);
  });

  test.each<readonly [string, string, number, string]>([
    ["an operation that is none", "Action=Explode&Version=2011-06-15", 400, "InvalidAction"],
    ["a name every object has", "Action=constructor&Version=2011-06-15", 400, "InvalidAction"],
    ["another version", "Action=GetCallerIdentity&Version=2010-01-01", 400, "InvalidAction"],
    ["no version", "Action=GetCallerIdentity", 400, "InvalidAction"],
    ["no action", "Version=2011-06-15", 400, "MissingAction"],
    ["nothing", "", 400, "MissingAction"],
    ["K12 a parameter twice", `${WHO}&Version=2011-06-15`, 400, "MalformedQueryString"],
    ["an escape that is none", `${WHO}&a=%zz`, 400, "MalformedQueryString"],
    ["a name of nine parts", `${WHO}&${"a.".repeat(8)}a=1`, 400, "MalformedQueryString"],
    ["2 001 parameters", Array.from({ length: 2_001 }, (_, i) => `a${i}=`).join("&"), 400, "MalformedQueryString"],
    ["a number that is none", "Action=GetSessionToken&Version=2011-06-15&DurationSeconds=1e3", 400, "MalformedInput"],
    ["below the limit", "Action=GetSessionToken&Version=2011-06-15&DurationSeconds=1", 400, "ValidationError"],
    ["what is not known is passed over", `${WHO}&Unknown=1&Tags.member.x.Key=1`, 200, ""],
  ])("%s → %d %s", async (_why, body, status, code) => {
    const reply = await post(form(body), body);
    expect([reply.status, codeOf(reply) ?? ""]).toEqual([status, code]);
  });

  test("K01 K02 K03: no signature, unknown key, a wrong one, in the Query protocol's names", async () => {
    const { authorization, ...unsigned } = form(WHO);
    const reply = async (headers: Record<string, string>) => {
      const answer = await post(headers, WHO);
      return [answer.status, codeOf(answer)];
    };
    expect(await reply(unsigned)).toEqual([403, "MissingAuthenticationToken"]);
    const unknown = authorization.replace(keys.accessKeyId, userKeys().accessKeyId);
    expect(await reply({ ...unsigned, authorization: unknown })).toEqual([403, "InvalidClientTokenId"]);
    const wrong = authorization.replace(/.$/, (digit) => (digit === "0" ? "1" : "0"));
    expect(await reply({ ...unsigned, authorization: wrong })).toEqual([403, "SignatureDoesNotMatch"]);
  });

  test("what a request says comes back escaped", async () => {
    const body = `Action=${encodeURIComponent("<b>&\u0000\ud83d\ude00")}&Version=2011-06-15`;
    const { text } = await post(form(body), body);
    expect(text).toContain("Could not find operation &lt;b&gt;&amp;\ufffd\u{1f600} for version");
  });

  test("presigned, as for EKS, and not for KMS", async () => {
    const scope = `20260301/${REGION}/sts/aws4_request`;
    const names = `X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=${encodeURIComponent(`${keys.accessKeyId}/${scope}`)}&X-Amz-Date=${AMZ_DATE}&X-Amz-Expires=60&X-Amz-SignedHeaders=host`;
    const query = `Action=GetCallerIdentity&Version=2011-06-15&${names}`;
    const sorted = query.split("&").sort().join("&");
    const host = `127.0.0.1:${bed.port}`;
    const hash = (data: string): string => createHash("sha256").update(data).digest("hex");
    const canonical = `GET\n/\n${sorted}\nhost:${host}\n\nhost\n${hash("")}`;
    let key: Buffer | string = `AWS4${keys.secretAccessKey}`;
    for (const part of scope.split("/")) key = createHmac("sha256", key).update(part).digest();
    const signature = createHmac("sha256", key)
      .update(`AWS4-HMAC-SHA256\n${AMZ_DATE}\n${scope}\n${hash(canonical)}`)
      .digest("hex");
    const get = (signed: string) => post({ host }, "", { method: "GET", path: `/?${query}&X-Amz-Signature=${signed}` });
    expect((await get(signature)).text).toContain(`<Account>${ACCOUNT}</Account>`);
    const refused = await get(signature.replace(/.$/, (digit) => (digit === "0" ? "1" : "0")));
    expect([refused.status, codeOf(refused)]).toEqual([403, "SignatureDoesNotMatch"]);
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

  test("K12 a body of 1 GiB: who writes it reads the refusal before it is written", async () => {
    const before = process.memoryUsage().rss;
    const { text, written } = await flood(1_073_741_824);
    expect(text).toMatch(/^HTTP\/1\.1 400 .*SerializationException/s);
    expect(written).toBeLessThan(256 * MIB);
    expect(process.memoryUsage().rss - before).toBeLessThan(128 * MIB);
  });

  test("K12 who writes 32 MiB first and reads then, reads the refusal", async () => {
    await using patient = await startBed(accounts, { tls: false, requestTimeoutMs: 10_000 });
    const length = 32 * MIB;
    const answer = await new Promise((resolve) => {
      let text = "";
      let isWritten = false;
      const socket = connectPlain({ host: "127.0.0.1", port: patient.port }).pause();
      socket.on("error", () => resolve("broken off")).on("close", () => resolve({ isWritten, text }));
      socket.write(`POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${length}\r\n\r\n`);
      socket.write(Buffer.alloc(length), () => {
        isWritten = true;
        socket.on("data", (chunk) => {
          text += chunk.toString("latin1");
        });
        socket.resume();
      });
    });
    expect(answer).toEqual({ isWritten: true, text: expect.stringContaining("SerializationException") as string });
  });

  test("K12 no 100 Continue for a body that is too large", async () => {
    const expecting = (length: number) => announce(`content-length: ${length}\r\nexpect: 100-continue`);
    expect(await expecting(MIB + 1)).toMatch(/^HTTP\/1\.1 400 /);
    expect(await expecting(10)).toMatch(/^HTTP\/1\.1 100 Continue/);
  });

  test("K12 a chunked body is cut at 1 MiB", async () => {
    const chunk = `10000\r\n${"x".repeat(0x10000)}\r\n`;
    const reply = await announce("transfer-encoding: chunked", chunk.repeat(17));
    expect(reply).toMatch(/^HTTP\/1\.1 400 .*SerializationException/s);
  });

  test("K12 the refusal of a form is XML", async () => {
    const reply = await announce(`content-type: application/x-www-form-urlencoded\r\ncontent-length: ${MIB + 1}`);
    expect(reply).toMatch(/<Code>MalformedInput<\/Code>/);
  });

  test.each([
    ["both lengths", "content-length: 2\r\ntransfer-encoding: chunked"],
    ["both, the other way round", "transfer-encoding: chunked\r\ncontent-length: 2"],
    ["two lengths", "content-length: 2\r\ncontent-length: 3"],
    ["a coding after chunked", "transfer-encoding: chunked, identity"],
    ["a space before the colon", "content-length : 2"],
  ])("K15 %s → 400, and no second request is read", async (_why, headers) => {
    const calls = bed.calls.length;
    const smuggled = `POST / HTTP/1.1\r\nhost: x\r\n\r\n`;
    const reply = await announce(headers, `0\r\n\r\n${smuggled}`);
    expect(reply).toMatch(/^HTTP\/1\.1 400 /);
    expect(reply.match(/HTTP\/1\.1 /g)).toHaveLength(1);
    expect(bed.calls.length).toBe(calls);
  });

  test("a body that does not come is given up", async () => {
    expect(await announce("content-length: 10", "{")).toMatch(/^HTTP\/1\.1 408 /);
  });

  test("K12 a body too large behind a request that is not answered yet: both are answered, and it closes", async () => {
    const bugs: unknown[] = [];
    await using other = await startBed(accounts, { onBug: (error) => bugs.push(error) });
    const small = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}";
    const large = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1100000\r\n\r\nabc";
    const reply = await raw(`${small}${large}`, other.port);
    expect(reply.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 400", "HTTP/1.1 400"]);
    expect(reply).toMatch(/UnknownOperationException.*connection: close.*SerializationException/is);
    expect(bugs).toEqual([]);
  });

  test("headers that do not end are given up", async () => {
    expect(await raw("POST / HTTP/1.1\r\nhost: localhost\r\nx-a: ")).toMatch(/^HTTP\/1\.1 408 /);
  });

  test("a connection that says nothing is given up, before TLS and after", async () => {
    const plain = connectPlain({ host: "127.0.0.1", port: bed.port });
    const closed = new Promise((resolve) => plain.on("close", resolve).on("error", resolve));
    await Promise.all([closed, raw("")]);
  });

  test("one connection more than the limit is closed at once; the others work on", async () => {
    await using small = await startBed(accounts, { tls: false, maxConnections: 20, requestTimeoutMs: 5_000 });
    const open = Array.from({ length: 200 }, () => connectPlain({ host: "127.0.0.1", port: small.port }));
    const isClosed = await Promise.all(
      open
        .slice(20)
        .map(
          (socket) =>
            new Promise((resolve) => socket.on("close", () => resolve(true)).on("error", () => resolve(true))),
        ),
    );
    expect(isClosed).toHaveLength(180);
    for (const socket of open) socket.destroy();
    await expect.poll(() => outcome(small.kms(keys).send(new GenerateRandomCommand({})))).toBe("ok");
  });

  function announce(headers: string, body = ""): Promise<string> {
    return raw(`POST / HTTP/1.1\r\nhost: localhost\r\n${headers}\r\n\r\n${body}`);
  }

  function open(port = bed.port) {
    return connect({
      ...{ host: "127.0.0.1", port, ca: bed.identity.caCertificatePem, servername: "localhost" },
    });
  }

  /** Writes and never ends; gives what the server says until it closes. */
  function raw(bytes: string, port = bed.port): Promise<string> {
    return new Promise((resolve) => {
      let text = "";
      const socket = open(port);
      socket.on("secureConnect", () => socket.write(bytes));
      socket.on("data", (chunk) => {
        text += chunk.toString("latin1");
      });
      socket.on("error", () => resolve(text));
      socket.on("close", () => resolve(text));
    });
  }

  /** Writes a body of so many bytes, as fast as it is taken, until the server closes. */
  function flood(length: number): Promise<{ text: string; written: number }> {
    return new Promise((resolve) => {
      let text = "";
      const socket = open();
      const block = Buffer.alloc(65_536);
      const more = (): void => {
        while (socket.writable && socket.bytesWritten < length && socket.write(block));
      };
      socket.on("secureConnect", () => {
        socket.write(`POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${length}\r\n\r\n`);
        more();
      });
      socket.on("drain", more);
      socket.on("data", (chunk) => {
        text += chunk.toString("latin1");
      });
      const done = (): void => resolve({ text, written: socket.bytesWritten });
      socket.on("error", done);
      socket.on("close", done);
    });
  }
});

describe("host names", () => {
  const resolving = (): NodeHttpHandler =>
    new NodeHttpHandler({
      httpsAgent: new Agent({
        ca: bed.identity.caCertificatePem,
        lookup: (_host, _options, done) => done(null, [{ address: "127.0.0.1", family: 4 }]),
      }),
    });
  const kms = (host: string, region = REGION): Promise<string> => {
    const endpoint = `https://${host}:${bed.port}`;
    const client = new KMSClient({ endpoint, region, credentials: keys, maxAttempts: 2, requestHandler: resolving() });
    return client.send(new GenerateRandomCommand({})).then(
      () => "ok",
      (error: Error & { code?: string }) => error.code ?? error.name,
    );
  };
  const sts = (host: string, region = REGION): Promise<string> => {
    const endpoint = `https://${host}:${bed.port}`;
    const client = new STSClient({ endpoint, region, credentials: keys, maxAttempts: 2, requestHandler: resolving() });
    return outcome(client.send(new GetCallerIdentityCommand({})));
  };

  test.each<readonly [string, string, string, string]>([
    ["the region's", `kms.${REGION}.amazonaws.com`, REGION, "ok"],
    ["FIPS", "kms-fips.us-east-1.amazonaws.com", "us-east-1", "ok"],
    ["dual stack", `kms.${REGION}.api.aws`, REGION, "ok"],
    ["upper case", `KMS.${REGION}.AmazonAWS.com`, REGION, "ok"],
    ["K07 another region's", "kms.us-east-1.amazonaws.com", REGION, "InvalidSignatureException"],
    ["another service's", `sts.${REGION}.amazonaws.com`, REGION, "UnknownOperationException"],
    [
      "China's, with keys of another partition",
      "kms.cn-north-1.amazonaws.com.cn",
      "cn-north-1",
      "UnrecognizedClientException",
    ],
    [
      "a region that is not here: not in the certificate",
      "kms.eu-west-1.amazonaws.com",
      REGION,
      "ERR_TLS_CERT_ALTNAME_INVALID",
    ],
  ])("KMS: %s → %s", async (_why, host, region, expected) => {
    expect(await kms(host, region)).toBe(expected);
  });

  test.each<readonly [string, string, string, string]>([
    ["the region's", `sts.${REGION}.amazonaws.com`, REGION, "ok"],
    ["the global one, signed for us-east-1", "sts.amazonaws.com", "us-east-1", "ok"],
    ["K07 the global one, signed for another region", "sts.amazonaws.com", REGION, "SignatureDoesNotMatch"],
    ["another service's", `kms.${REGION}.amazonaws.com`, REGION, "InvalidAction"],
  ])("STS: %s → %s", async (_why, host, region, expected) => {
    expect(await sts(host, region)).toBe(expected);
  });
});

describe("TLS and plain HTTP", () => {
  test("aws:SourceIp is IPv4 also where IPv6 is listened on", async () => {
    await using both = await startBed(accounts, { tls: false, listenOn: "::ffff:127.0.0.1" });
    expect(await outcome(both.kms(keys).send(new GenerateRandomCommand({})))).toBe("ok");
    expect(both.calls[0]?.connection.sourceIp).toBe("127.0.0.1");
  });

  test("nobody trusts it who was not told to", async () => {
    await expect(post({}, "", { ca: undefined } as ClientRequestArgs)).rejects.toMatchObject({
      code: expect.stringMatching(/SELF_SIGNED|UNABLE_TO_(GET_ISSUER|VERIFY)/) as string,
    });
  });

  test("plain HTTP where it is asked for, and no other there", async () => {
    await using plain = await startBed(accounts, { tls: false });
    expect(await outcome(plain.kms(keys).send(new GenerateRandomCommand({})))).toBe("ok");
    expect(await outcome(plain.sts(keys).send(new GetCallerIdentityCommand({})))).toBe("ok");
    expect(plain.calls[0]?.connection).toMatchObject({ tlsVersion: "", cipherSuite: "" });
    const code = new Promise((resolve) => httpsRequest(`https://127.0.0.1:${plain.port}`).on("error", resolve).end());
    expect(await code).toBeInstanceOf(Error);
    const status = new Promise((resolve) =>
      httpRequest(`http://127.0.0.1:${bed.port}`)
        .on("error", () => resolve("refused"))
        .on("response", resolve)
        .end(),
    );
    expect(await status).toBe("refused");
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
