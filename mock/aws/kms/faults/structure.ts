/**
 * Messages that are not the one structure KMS sends: type, version, members, recipients, lengths.
 *
 *   M01 content type · M02 version · M03 members KMS never sends · M04 number of recipients · M05 kind of recipient
 *   M06 name of the recipient · M20 end-of-contents · M21 DER · M22 lengths · M23 depth
 *
 * M21 is right all the same, and must be opened.
 *
 * Source: RFC 5652 §3, §6.1, §6.2, §10.2; RFC 5083 §2; X.690 §8.1.3, §8.1.5.
 *
 * @module
 */
import { createHash, generateKeyPairSync, randomBytes } from "node:crypto";
import { concat, utf8 } from "../../../../shared/bytes.ts";
import {
  contextConstructed,
  contextPrimitive,
  element,
  indefinite,
  objectIdentifier,
  smallInteger,
  TAG,
} from "../ber.ts";
import { algorithm, writeMessage } from "../recipient-message.ts";
import type { HonestMessage, MessageMutation, MutationTable } from "./message.ts";

const END = Uint8Array.of(0, 0);
const UTF8_STRING = 0x0c;
const BIT_STRING = 0x03;
const OID = {
  signedData: "1.2.840.113549.1.7.2",
  data: "1.2.840.113549.1.7.1",
  authEnvelopedData: "1.2.840.113549.1.9.16.1.23",
  commonName: "2.5.4.3",
  signingDescription: "1.2.840.113549.1.9.13",
  ecdhSha256: "1.3.132.1.11.1",
  aes256Wrap: "2.16.840.1.101.3.4.1.45",
  pwriKek: "1.2.840.113549.1.9.16.3.9",
  oriKem: "1.2.840.113549.1.9.16.13.3",
} as const;

export const STRUCTURE_FAULTS: MutationTable = {
  "M01-data": ofType(OID.data),
  "M01-signed-data": ofType(OID.signedData),
  "M01-auth-enveloped-data": ofType(OID.authEnvelopedData),
  "M02-version-0": ofVersion(0),
  "M02-version-3": ofVersion(3),
  "M02-version-4": ofVersion(4),
  "M02-version-300": ofVersion(1, 0x2c),
  "M03-originator-info": (message) =>
    message.with({ originatorInfo: element(contextConstructed(0), element(contextConstructed(0))) }),
  "M03-unprotected-attributes": (message) =>
    message.with({ unprotectedAttributes: element(contextConstructed(1), attribute()) }),
  "M04-no-recipient": (message) => message.with({ recipientInfos: [] }),
  "M04-two-recipients": (message) => message.with({ recipientInfos: [message.recipient(), stranger(message)] }),
  "M04-1000-recipients": (message) => message.with({ recipientInfos: Array(1000).fill(message.recipient()) }),
  "M05-key-agreement": (message) => message.with({ recipientInfos: [keyAgreement(message)] }),
  "M05-key-encryption-key": (message) => message.with({ recipientInfos: [keyEncryptionKey(message)] }),
  "M05-password": (message) => message.with({ recipientInfos: [password()] }),
  "M05-other": (message) => message.with({ recipientInfos: [other()] }),
  "M06-issuer-and-serial": (message) =>
    message.withRecipient({ version: smallInteger(0), recipientId: issuerAndSerial() }),
  "M06-identifier-0-bytes": (message) => message.withRecipient({ recipientId: element(contextPrimitive(0)) }),
  "M06-identifier-31-bytes": (message) =>
    message.withRecipient({ recipientId: element(contextPrimitive(0), identifier(message).subarray(0, 31)) }),
  "M06-identifier-33-bytes": (message) =>
    message.withRecipient({ recipientId: element(contextPrimitive(0), identifier(message), Uint8Array.of(0)) }),
  "M20-missing-end": (message) => message.with({}).subarray(0, -END.length),
  "M20-extra-end": (message) => concat(message.with({}), END),
  "M20-trailing-bytes": (message) => concat(message.with({}), element(TAG.null)),
  M21: (message) =>
    writeMessage(message.parts({ encryptedContent: element(contextPrimitive(0), message.ciphertext) }), element),
  "M22-length-2-to-32": withChunk(() => Uint8Array.of(TAG.octetString, 0x85, 1, 0, 0, 0, 0)),
  "M22-length-in-5-bytes": withChunk(({ ciphertext }) =>
    concat(Uint8Array.of(TAG.octetString, 0x85, 0, ...bigEndian(ciphertext.length)), ciphertext),
  ),
  "M22-indefinite-primitive": withChunk(({ ciphertext }) => indefinite(TAG.octetString, ciphertext)),
  "M22-reserved-length": withChunk(({ ciphertext }) => concat(Uint8Array.of(TAG.octetString, 0xff), ciphertext)),
  M23: () =>
    concat(...Array<Uint8Array>(10_000).fill(Uint8Array.of(TAG.sequence, 0x80)), new Uint8Array(10_000 * END.length)),
};

function ofType(oid: string): MessageMutation {
  return (message) => message.with({ contentType: objectIdentifier(oid) });
}

function ofVersion(...octets: readonly number[]): MessageMutation {
  return (message) => message.with({ version: element(TAG.integer, Uint8Array.from(octets)) });
}

/** The message with another chunk of content. */
function withChunk(chunk: MessageMutation): MessageMutation {
  return (message) => message.with({ encryptedContent: indefinite(contextConstructed(0), chunk(message)) });
}

function bigEndian(value: number): readonly number[] {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 0xff);
}

function identifier({ publicKey }: HonestMessage): Uint8Array {
  return createHash("sha256").update(publicKey).digest();
}

/** A recipient of whom nobody here has the key. */
function stranger(message: HonestMessage): Uint8Array {
  const recipientId = element(contextPrimitive(0), randomBytes(32));
  return message.recipient({ recipientId, encryptedKey: randomBytes(256) });
}

/** signingDescription. */
function attribute(): Uint8Array {
  const values = element(TAG.set, element(UTF8_STRING, utf8("mock")));
  return element(TAG.sequence, objectIdentifier(OID.signingDescription), values);
}

/** `CN=recipient`, serial number 1: as an emulator without subjectKeyIdentifier would name a recipient. */
function issuerAndSerial(): Uint8Array {
  const name = element(TAG.sequence, objectIdentifier(OID.commonName), element(UTF8_STRING, utf8("recipient")));
  return element(TAG.sequence, element(TAG.sequence, element(TAG.set, name)), smallInteger(1));
}

const wrapped = (): Uint8Array => element(TAG.octetString, randomBytes(40));

function keyAgreement(message: HonestMessage): Uint8Array {
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  // RFC 5652 §6.2.2: OriginatorPublicKey is a SubjectPublicKeyInfo whose tag is [1].
  const originator = publicKey.export({ format: "der", type: "spki" });
  originator[0] = contextConstructed(1);
  const recipientKeyId = element(contextConstructed(0), element(TAG.octetString, identifier(message)));
  return element(
    contextConstructed(1),
    smallInteger(3),
    element(contextConstructed(0), originator),
    algorithm(OID.ecdhSha256, algorithm(OID.aes256Wrap)),
    element(TAG.sequence, element(TAG.sequence, recipientKeyId, wrapped())),
  );
}

function keyEncryptionKey(message: HonestMessage): Uint8Array {
  const keyId = element(TAG.sequence, element(TAG.octetString, identifier(message)));
  return element(contextConstructed(2), smallInteger(4), keyId, algorithm(OID.aes256Wrap), wrapped());
}

function password(): Uint8Array {
  return element(contextConstructed(3), smallInteger(0), algorithm(OID.pwriKek, algorithm(OID.aes256Wrap)), wrapped());
}

function other(): Uint8Array {
  return element(contextConstructed(4), objectIdentifier(OID.oriKem), element(BIT_STRING, Uint8Array.of(0)));
}
