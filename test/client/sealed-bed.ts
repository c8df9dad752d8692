/** A sealed client and an enclave, and between them the parent that carries their messages. */
import { createSealedClient, type SealedClient, type SealedClientOptions } from "../../client/browser/sealed-client.ts";
import { createSealedRequests, type SealedRequestsOptions } from "../../enclave/tls/sealed-requests.ts";
import { mockNsm, type NsmSettings, policy } from "../enclave/tls/bed.ts";

export type Carry = (request: Request) => Promise<Response>;

export interface Bed {
  readonly client: SealedClient;
  /** Every message that the parent carried, as it saw it. */
  readonly carried: { readonly path: string; readonly bytes: Buffer }[];
  readonly deliver: Carry;
  /** What the enclave's log was told of. */
  readonly faults: { readonly error: unknown; readonly id: string }[];
}

export interface BedSettings
  extends NsmSettings,
    Partial<Pick<SealedRequestsOptions, "handler" | "limits" | "monotonicMs">> {
  /** What the parent does instead of passing on. */
  readonly parent?: (request: Request, deliver: Carry) => Promise<Response>;
  readonly client?: Partial<SealedClientOptions>;
}

export const echo: SealedRequestsOptions["handler"] = async (request) => {
  const { pathname, search } = new URL(request.url);
  const text = `${request.method} ${pathname}${search} ${request.headers.get("x-a")} ${await request.text()}`;
  return new Response(text, { status: 201, headers: { "x-b": "c" } });
};

export async function bed({
  parent,
  client,
  handler = echo,
  limits,
  monotonicMs,
  ...settings
}: BedSettings = {}): Promise<Bed> {
  const nsm = await mockNsm(settings);
  const own = { ...(limits && { limits }), ...(monotonicMs && { monotonicMs }) };
  const faults: { error: unknown; id: string }[] = [];
  const onInternalError = (error: unknown, id: string): void => void faults.push({ error, id });
  const enclave = createSealedRequests({ nsm, handler, onInternalError, origins: ["https://app.example"], ...own });
  const carried: { path: string; bytes: Buffer }[] = [];
  const deliver: Carry = async (request) => (await enclave.handle(request)) ?? new Response(null, { status: 404 });
  const fetch: typeof globalThis.fetch = async (url, init) => {
    const request = new Request(url, init as RequestInit);
    const path = new URL(request.url).pathname;
    carried.push({ path, bytes: Buffer.from(await request.clone().arrayBuffer()) });
    const response = await (parent ? parent(request, deliver) : deliver(request));
    carried.push({ path: `answer of ${path}`, bytes: Buffer.from(await response.clone().arrayBuffer()) });
    return response;
  };
  const made = createSealedClient({ url: "https://enclave.example", policy, fetch, ...client });
  return { client: made, carried, deliver, faults };
}

export async function codeOf(attempt: Promise<unknown>): Promise<string> {
  return attempt.then(
    () => "answered",
    (error: unknown) => (error as { code?: string }).code ?? String(error),
  );
}
