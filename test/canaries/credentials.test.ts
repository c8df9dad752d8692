/** Credentials on their way into the enclave: sources that choke on them, answers of a wrong form, and what is printed of them. */
import { inspect } from "node:util";
import { STSClient } from "@aws-sdk/client-sts";
import { afterEach, describe, expect, test, vi } from "vitest";
import { parentCredentials } from "../../enclave/egress/credentials.ts";
import { environmentOf } from "../../enclave/exec/program.ts";
import { createToken } from "../../enclave/exec/token.ts";
import { readContainerCredentials } from "../../parent/credentials/container-credentials.ts";
import { startCredentials } from "../../parent/credentials/credentials.ts";
import { startCredentialsHttp } from "../../parent/credentials/http-form.ts";
import { refreshing } from "../../parent/credentials/refreshing.ts";
import { fromProvider } from "../../parent/credentials/sdk-provider.ts";
import { addressOf } from "../../shared/transport/address.ts";
import { CREDENTIALS_PORT } from "../../shared/transport/ports.ts";
import { cleanup, freshPeer, transport } from "../enclave/app/world.ts";
import { collect } from "../transport/streams.ts";
import { Hunt, plant } from "./hunt.ts";

const [secretKey, token, beacon] = [plant("SigV4 secret"), plant("session token"), plant("beacon")];
const SECRETS = [secretKey, token];
const GIVEN = {
  ...{ AccessKeyId: "ASIAEXAMPLEEXAMPLE00", SecretAccessKey: secretKey.text, Token: token.text },
  Expiration: "2099-01-01T00:00:00Z",
};
afterEach(() => void vi.restoreAllMocks());

/** A parent that gives what `provide` gives, by channel and by HTTP; what it tells its operator is kept. */
async function parentOf(hunt: Hunt, provide: () => Promise<never>) {
  const peer = freshPeer();
  const common = { transport, provide, log: (event: unknown) => hunt.note("events", [event, beacon.text]) };
  const channel = await startCredentials({ ...common, address: addressOf(peer, CREDENTIALS_PORT) });
  const http = await startCredentialsHttp({ ...common, address: { kind: "tcp", host: "127.0.0.1", port: 0 } });
  cleanup(() => channel.close());
  cleanup(() => http.close());
  hunt.note("objects", [channel, http]);
  const byHttp = async (): Promise<string> => {
    const socket = await transport.connect(http.address);
    socket.write("GET /credentials HTTP/1.1\r\nHost: x\r\n\r\n");
    return String(await collect(socket));
  };
  return { give: parentCredentials({ transport, parent: peer, patienceMs: 0 }), byHttp };
}

const held = { authorization: token.text, request: { headers: { "x-amz-security-token": token.text } } };
const sdkError = Object.assign(new Error(`credentials ${secretKey.text}`, { cause: new Error(token.text) }), {
  ...{ name: "CredentialsProviderError", $response: { body: held } },
});
const giving = (changes: object) => async () => ({ ...GIVEN, ...changes }) as never;
const throwing = {
  get Token(): never {
    throw sdkError;
  },
};
const failing = async (): Promise<never> => {
  throw sdkError;
};

describe("credentials", () => {
  test.each<[string, () => Promise<never>]>([
    ["G06: a source that throws the request it made", failing],
    ["G06: the SDK's provider, which does so", fromProvider(failing) as never],
    ["G06: a source behind a refresher", refreshing(failing) as never],
    ["G03: a secret with a line break", giving({ SecretAccessKey: `${secretKey.text}\n` })],
    ["G03: a token that is a list", giving({ Token: [token.text] })],
    ["G03: a time that is a token", giving({ Expiration: token.text })],
    ["G03: the same behind a refresher", refreshing(giving({ Expiration: token.text })) as never],
    ["G05: an object that throws when it is read", async () => throwing as never],
  ])("%s", async (title, provide) => {
    const hunt = new Hunt(...SECRETS);
    const { give, byHttp } = await parentOf(hunt, provide);
    const refusal = await hunt.noteOutcome("refusals", give());
    expect(String((refusal as { code?: string }).code)).toMatch(/^ERR_TRANSPORT_/);
    // What a source gives is forwarded by HTTP as it is; there the enclave's own SDK reads it.
    if (!/^G03.*(break|list|token)$/.test(title)) hunt.note("refusals", await byHttp());
    hunt.note("refusals", beacon.text);
    hunt.end({ events: beacon, refusals: beacon });
  });

  test("G07 G11: what holds them shows when they end, and is no JSON", async () => {
    const hunt = new Hunt(...SECRETS);
    const { give } = await parentOf(hunt, giving({ beacon: beacon.text }));
    const inside = await give();
    const outside = readContainerCredentials(GIVEN);
    // They are what they should be where they are asked for by name.
    expect([inside.secretAccessKey, inside.sessionToken]).toEqual([secretKey.text, token.text]);
    expect([outside.SecretAccessKey, outside.Token]).toEqual([secretKey.text, token.text]);
    const sts = new STSClient({ region: "eu-central-1", credentials: give });
    await sts.config.credentials();
    for (const credentials of [inside, outside, { deep: { inside, outside } }]) {
      expect(() => JSON.stringify(credentials)).toThrow(TypeError);
      expect(inspect(credentials, { depth: 5 })).toContain("credentials until 2099-01-01");
      hunt.note("objects", [credentials, beacon.text]);
    }
    hunt.note("objects", [give, sts.config.credentials]);
    sts.destroy();
    hunt.end({ objects: beacon });
  });

  test("G08: no environment holds them, neither the enclave's nor that of a program in it", async () => {
    const hunt = new Hunt(...SECRETS);
    const { give } = await parentOf(hunt, giving({}));
    await give();
    const roots = `/roots/${beacon.text}`;
    const told = { service: "127.0.0.1:1", proxy: "127.0.0.1:2", token: createToken(), roots, forward: 8_000 } as const;
    hunt.note("environments", [process.env, environmentOf(told)]);
    hunt.noteReport(new Error(beacon.text));
    hunt.end({ environments: beacon, report: beacon });
  });
});
