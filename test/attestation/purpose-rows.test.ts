import { encodeUserData, type UserData, type UserDataPolicy } from "../../shared/attestation/index.ts";
import { utf8 } from "../../shared/bytes.ts";
import { describeRows, field, type Row, variants } from "./row.ts";
import { PCR } from "./test-pki.ts";

const USER_DATA = "ERR_ATTESTATION_USER_DATA_MISMATCH";
const VERSION = "ERR_ATTESTATION_IMAGE_VERSION";

const DIGEST = new Uint8Array(48).fill(5);
const purposeful = (fields: Partial<UserData> = {}): Partial<Row> =>
  field("user_data", encodeUserData({ purpose: "result", digest: DIGEST, imageVersion: 7, ...fields }));
const unversioned = field("user_data", encodeUserData({ purpose: "result", digest: DIGEST }));
const demanding = (fields: Partial<UserDataPolicy> = {}): Partial<Row> => ({
  policy: { userData: { purpose: "result", digest: DIGEST, minimumImageVersion: 7, ...fields } },
});

const ROWS: readonly Row[] = [
  ...variants("purpose", USER_DATA, [
    ["another purpose", { ...purposeful({ purpose: "kms" }), ...demanding() }],
    ["another digest", { ...purposeful({ digest: PCR(6) }), ...demanding() }],
    ["no user data", { ...field("user_data", null), ...demanding() }],
    ["no user data, any digest", { ...field("user_data", null), ...demanding({ digest: "unchecked" }) }],
    ["not text", { ...field("user_data", new Uint8Array(64).fill(0xff)), ...demanding() }],
    [
      "the same fields in another order",
      {
        ...field("user_data", utf8(JSON.stringify({ purpose: "result", v: 1, digest: "05".repeat(48) }))),
        ...demanding(),
      },
    ],
    [
      "a version beyond 2^53",
      {
        ...field(
          "user_data",
          utf8(`{"v":1,"purpose":"result","digest":"${"05".repeat(48)}","imageVersion":9007199254740993}`),
        ),
        ...demanding(),
      },
    ],
    [
      "the same fields behind a byte order mark",
      {
        ...field("user_data", utf8(`\ufeff{"v":1,"purpose":"result","digest":"${"05".repeat(48)}","imageVersion":7}`)),
        ...demanding(),
      },
    ],
    [
      "a purpose that starts with a digit",
      { ...field("user_data", utf8(`{"v":1,"purpose":"1","digest":"${"05".repeat(48)}"}`)), ...demanding() },
    ],
  ]),
  ...variants("purpose", VERSION, [
    ["a version too old", { ...purposeful({ imageVersion: 6 }), ...demanding() }],
    ["no version where one is demanded", { ...unversioned, ...demanding() }],
  ]),
  ...variants("purpose", "accepted", [
    ["purpose, digest and version demanded", { ...purposeful(), ...demanding() }],
    ["any digest", { ...purposeful({ digest: PCR(6) }), ...demanding({ digest: "unchecked" }) }],
    ["a later version", { ...purposeful({ imageVersion: 8 }), ...demanding() }],
    ["no version, none demanded", { ...unversioned, ...demanding({ minimumImageVersion: "unchecked" }) }],
  ]),
];

describeRows("purpose", ROWS);
