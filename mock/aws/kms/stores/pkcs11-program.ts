/**
 * The program of the process that holds a PKCS#11 library: one token, one session, one call at a time.
 *
 * A process and not a thread of its own, because PKCS#11's state is the process's (C_Initialize, login), because its
 * calls block for as long as the HSM's network does, and because a vendor's library that hangs or crashes must be
 * ended without ending the emulator. `Token` and `answerCalls` run there from their text: they see their parameters
 * and nothing else of this file. A process's file would have another name in sources than when built.
 *
 * Source: PKCS#11 v2.40 base specification §5; CloudHSM user guide, "PKCS #11 library", AES-GCM.
 *
 * @module
 */
import type * as Pkcs11js from "pkcs11js";

export interface OpenToken {
  readonly library: string;
  readonly tokenLabel: string;
  /** Absent: look at the token, log in to nothing. */
  readonly pin?: string;
}

export interface Sealed {
  readonly iv: Uint8Array;
  readonly sealed: Uint8Array;
}

/** What can be asked, in the order in which it makes sense. */
export interface TokenCalls {
  open(token: OpenToken): { readonly hasUser: boolean };
  createKey(key: { readonly keyId: string; readonly label: string }): undefined;
  findKey(key: { readonly keyId: string }): boolean;
  encrypt(what: { readonly keyId: string; readonly plaintext: Uint8Array; readonly aad: Uint8Array }): Sealed;
  decrypt(what: Sealed & { readonly keyId: string; readonly aad: Uint8Array }): Uint8Array;
  deleteKey(key: { readonly keyId: string }): undefined;
  random(count: number): Uint8Array;
}

export interface Question {
  readonly id: number;
  readonly call: keyof TokenCalls;
  readonly argument: unknown;
}

/**
 * How a call failed.
 *
 *   open      the step of opening at which it did
 *   lost      the token, the session or the login is not what it was
 *   no key    the session is good, and this key is not in the token
 *   refused   session and key are good: it is the call's own fault
 */
export interface CallFailure {
  readonly kind: "open" | "lost" | "no key" | "refused";
  readonly step: string;
  /** PKCS#11 return value by name, such as `CKR_PIN_INCORRECT`, or what went wrong in words. */
  readonly reason: string;
}

export type Reply =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly failure: CallFailure };

/** JavaScript for `node -e`. @param pkcs11js absolute path of the package */
export function tokenProgram(pkcs11js: string): string {
  return `(${answerCalls.toString()})(process, new (${Token.toString()})(require(${JSON.stringify(pkcs11js)})));`;
}

function answerCalls(host: NodeJS.Process, token: Token): void {
  host.on("disconnect", () => host.exit(0));
  host.on("message", ({ id, call, argument }: Question) => {
    try {
      host.send?.({ id, result: token.call(call, argument) });
    } catch (error) {
      host.send?.({ id, failure: token.failure(call, argument, error) });
    }
  });
}

class Token {
  readonly #p: typeof Pkcs11js;
  readonly #cryptoki: Pkcs11js.PKCS11;
  readonly #handles = new Map<string, Buffer>();
  #step = "load";
  #label = "";
  #slot: Buffer = Buffer.alloc(0);
  #session: Buffer = Buffer.alloc(0);

  constructor(pkcs11js: typeof Pkcs11js) {
    this.#p = pkcs11js;
    this.#cryptoki = new pkcs11js.PKCS11();
  }

  call(call: string, argument: unknown): unknown {
    const calls: Record<string, (argument: never) => unknown> = {
      open: (token: OpenToken) => this.#open(token),
      createKey: (key: { keyId: string; label: string }) => this.#createKey(key),
      findKey: ({ keyId }: { keyId: string }) => this.#find(keyId) !== undefined,
      encrypt: (what: { keyId: string; plaintext: Uint8Array; aad: Uint8Array }) => this.#encrypt(what),
      decrypt: (what: Sealed & { keyId: string; aad: Uint8Array }) => this.#decrypt(what),
      deleteKey: ({ keyId }: { keyId: string }) => this.#deleteKey(keyId),
      random: (count: number) => this.#cryptoki.C_GenerateRandom(this.#session, Buffer.alloc(count)),
    };
    return calls[call]?.(argument as never);
  }

  failure(call: string, argument: unknown, error: unknown): CallFailure {
    const reason = error instanceof Error ? error.message : "unknown";
    if (call === "open") return { kind: "open", step: this.#step, reason };
    const keyId = (argument as { keyId?: string }).keyId;
    const rwUserFunctions = 3; // CKS_RW_USER_FUNCTIONS, which the package does not name
    try {
      this.#handles.clear();
      const { state } = this.#cryptoki.C_GetSessionInfo(this.#session);
      const isHere = this.#labelOf(this.#slot) === this.#label && state === rwUserFunctions;
      if (!isHere) return { kind: "lost", step: call, reason };
      const isKeyMissing = keyId !== undefined && call !== "createKey" && !this.#find(keyId);
      return { kind: isKeyMissing ? "no key" : "refused", step: call, reason };
    } catch {
      return { kind: "lost", step: call, reason }; // a session that can not even be looked at
    }
  }

  #open({ library, tokenLabel, pin }: OpenToken): { hasUser: boolean } {
    const p = this.#p;
    this.#cryptoki.load(library);
    this.#step = "initialize";
    this.#cryptoki.C_Initialize();
    this.#step = "slots";
    const slots = this.#cryptoki.C_GetSlotList(true);
    if (slots.length === 0) throw new Error("no token in any slot");
    this.#step = "token";
    const slot = slots.find((handle) => this.#labelOf(handle) === tokenLabel);
    if (!slot) throw new Error("no token with this label");
    this.#label = tokenLabel;
    this.#slot = slot;
    const hasUser = (this.#cryptoki.C_GetTokenInfo(slot).flags & p.CKF_USER_PIN_INITIALIZED) !== 0;
    if (pin === undefined) return { hasUser };
    this.#step = "session";
    this.#session = this.#cryptoki.C_OpenSession(slot, p.CKF_SERIAL_SESSION | p.CKF_RW_SESSION);
    this.#step = "login";
    this.#cryptoki.C_Login(this.#session, p.CKU_USER, pin);
    return { hasUser };
  }

  /** SoftHSM pads the label of a token that it has just made with zeros, PKCS#11 with blanks. */
  #labelOf(slot: Buffer): string {
    return this.#cryptoki.C_GetTokenInfo(slot).label.replace(/[\0 ]+$/, "");
  }

  #createKey({ keyId, label }: { keyId: string; label: string }): void {
    const p = this.#p;
    const handle = this.#cryptoki.C_GenerateKey(this.#session, { mechanism: p.CKM_AES_KEY_GEN }, [
      { type: p.CKA_CLASS, value: p.CKO_SECRET_KEY },
      { type: p.CKA_KEY_TYPE, value: p.CKK_AES },
      { type: p.CKA_VALUE_LEN, value: 32 },
      { type: p.CKA_ID, value: Buffer.from(keyId) },
      { type: p.CKA_LABEL, value: label },
      { type: p.CKA_TOKEN, value: true },
      { type: p.CKA_PRIVATE, value: true },
      { type: p.CKA_SENSITIVE, value: true },
      { type: p.CKA_EXTRACTABLE, value: false },
      { type: p.CKA_ENCRYPT, value: true },
      { type: p.CKA_DECRYPT, value: true },
    ]);
    this.#handles.set(keyId, handle);
  }

  #find(keyId: string): Buffer | undefined {
    const known = this.#handles.get(keyId);
    if (known) return known;
    const p = this.#p;
    this.#cryptoki.C_FindObjectsInit(this.#session, [
      { type: p.CKA_CLASS, value: p.CKO_SECRET_KEY },
      { type: p.CKA_ID, value: Buffer.from(keyId) },
    ]);
    const [found] = this.#cryptoki.C_FindObjects(this.#session, 1);
    this.#cryptoki.C_FindObjectsFinal(this.#session);
    if (found) this.#handles.set(keyId, found);
    return found;
  }

  #key(keyId: string): Buffer {
    const handle = this.#find(keyId);
    if (!handle) throw new Error("no key with this id");
    return handle;
  }

  #encrypt({ keyId, plaintext, aad }: { keyId: string; plaintext: Uint8Array; aad: Uint8Array }): Sealed {
    // An HSM in FIPS mode writes a vector of its own over ours.
    const iv = this.#cryptoki.C_GenerateRandom(this.#session, Buffer.alloc(12));
    const key = this.#key(keyId);
    this.#cryptoki.C_EncryptInit(this.#session, this.#gcm(iv, aad), key);
    const room = Buffer.alloc(plaintext.length + 16);
    const sealed = this.#cryptoki.C_Encrypt(this.#session, Buffer.from(plaintext), room);
    return { iv, sealed };
  }

  #decrypt({ keyId, iv, sealed, aad }: Sealed & { keyId: string; aad: Uint8Array }): Uint8Array {
    this.#cryptoki.C_DecryptInit(this.#session, this.#gcm(Buffer.from(iv), aad), this.#key(keyId));
    return this.#cryptoki.C_Decrypt(this.#session, Buffer.from(sealed), Buffer.alloc(sealed.length));
  }

  #gcm(iv: Buffer, aad: Uint8Array): Pkcs11js.Mechanism {
    const p = this.#p;
    const parameter = { type: p.CK_PARAMS_GCM, iv, ivBits: iv.length * 8, aad: Buffer.from(aad), tagBits: 128 };
    return { mechanism: p.CKM_AES_GCM, parameter };
  }

  #deleteKey(keyId: string): void {
    this.#cryptoki.C_DestroyObject(this.#session, this.#key(keyId));
    this.#handles.delete(keyId);
  }
}
