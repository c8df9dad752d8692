/** Which names, regions and schemes the host answers under. */
import { type ClientRequestArgs, request as httpRequest } from "node:http";
import { Agent, request as httpsRequest } from "node:https";
import { GenerateRandomCommand, KMSClient } from "@aws-sdk/client-kms";
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { outcome, REGION, startBed } from "./door-bed.ts";
import { accounts, keys, startWireBed, type WireBed } from "./wire-bed.ts";

let bed: WireBed;
beforeAll(async () => {
  bed = await startWireBed();
});
afterAll(() => bed[Symbol.asyncDispose]());

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
    await expect(bed.post({}, "", { ca: undefined } as ClientRequestArgs)).rejects.toMatchObject({
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
