/** awsQuery by raw requests: forms, XML, and the names its refusals have. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ACCOUNT, userKeys } from "./door-bed.ts";
import { AMZ_DATE, codeOf, keys, scopeOf, sha256, signatureOf, startWireBed, type WireBed } from "./wire-bed.ts";

let bed: WireBed;
beforeAll(async () => {
  bed = await startWireBed();
});
afterAll(() => bed[Symbol.asyncDispose]());

describe("awsQuery", () => {
  const WHO = "Action=GetCallerIdentity&Version=2011-06-15";

  test("an answer in XML, and the refusal in XML", async () => {
    const reply = await bed.post(bed.form(WHO), WHO);
    expect([reply.status, reply.headers["content-type"]]).toEqual([200, "text/xml"]);
    expect(reply.text).toMatch(
      /^<GetCallerIdentityResponse xmlns="https:\/\/sts\.amazonaws\.com\/doc\/2011-06-15\/">\s*<GetCallerIdentityResult>/,
    );
    expect(reply.text).toContain(`<RequestId>${reply.headers["x-amzn-requestid"]}</RequestId>`);
    const refused = await bed.post({ ...bed.form(WHO), authorization: "" }, WHO);
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
    const reply = await bed.post(bed.form(body), body);
    expect([reply.status, codeOf(reply) ?? ""]).toEqual([status, code]);
  });

  test("K01 K02 K03: no signature, unknown key, a wrong one, in the Query protocol's names", async () => {
    const { authorization, ...unsigned } = bed.form(WHO);
    const reply = async (headers: Record<string, string>) => {
      const answer = await bed.post(headers, WHO);
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
    const { text } = await bed.post(bed.form(body), body);
    expect(text).toContain("Could not find operation &lt;b&gt;&amp;\ufffd\u{1f600} for version");
  });

  test("presigned, as for EKS, and not for KMS", async () => {
    const names = `X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=${encodeURIComponent(`${keys.accessKeyId}/${scopeOf("sts")}`)}&X-Amz-Date=${AMZ_DATE}&X-Amz-Expires=60&X-Amz-SignedHeaders=host`;
    const query = `Action=GetCallerIdentity&Version=2011-06-15&${names}`;
    const sorted = query.split("&").sort().join("&");
    const host = `127.0.0.1:${bed.port}`;
    const signature = signatureOf(`GET\n/\n${sorted}\nhost:${host}\n\nhost\n${sha256("")}`, "sts");
    const get = (signed: string) =>
      bed.post({ host }, "", { method: "GET", path: `/?${query}&X-Amz-Signature=${signed}` });
    expect((await get(signature)).text).toContain(`<Account>${ACCOUNT}</Account>`);
    const refused = await get(signature.replace(/.$/, (digit) => (digit === "0" ? "1" : "0")));
    expect([refused.status, codeOf(refused)]).toEqual([403, "SignatureDoesNotMatch"]);
  });
});
