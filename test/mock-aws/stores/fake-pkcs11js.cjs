/**
 * Stands for the pkcs11js package, with a token that SoftHSM2 can not play: it hangs, crashes, locks its user out, or
 * makes the initialization vector itself as an HSM in FIPS mode does. FAKE_TOKEN says which; FAKE_STATE names a file
 * that outlives the process.
 */
const fs = require("node:fs");

const mode = process.env.FAKE_TOKEN;
const constants = { CKF_USER_PIN_INITIALIZED: 8, CKF_SERIAL_SESSION: 4, CKF_RW_SESSION: 2, CKU_USER: 1 };
const fail = (reason) => {
  throw new Error(reason);
};

/** Whether this is the first process that opened the token, and its session goes bad. */
const isFirst = () => mode === "logged-out-at-first" && fs.readFileSync(process.env.FAKE_STATE, "utf8") === "opened\n";

class PKCS11 {
  load() {}
  C_Initialize() {
    if (mode === "logged-out-at-first") fs.appendFileSync(process.env.FAKE_STATE, "opened\n");
    if (mode === "initialize-fails") fail("CKR_DEVICE_ERROR");
    if (mode === "hangs-at-once") for (;;);
  }
  C_GetSlotList() {
    return mode === "no-slot" ? [] : [Buffer.from("slot")];
  }
  C_GetTokenInfo() {
    return { label: "fake".padEnd(32), flags: 8 };
  }
  C_OpenSession() {
    return Buffer.from("session");
  }
  C_Login() {
    if (mode?.startsWith("CKR_")) fail(mode);
  }
  C_GetSessionInfo() {
    return { state: isFirst() ? 2 : 3 };
  }
  C_FindObjectsInit() {}
  C_FindObjects() {
    return [Buffer.from("key")];
  }
  C_FindObjectsFinal() {}
  C_GenerateRandom(_session, bytes) {
    return bytes.fill(1);
  }
  C_EncryptInit(_session, mechanism) {
    if (mode === "makes-vector") mechanism.parameter.iv.fill(9);
    if (isFirst()) fail("CKR_USER_NOT_LOGGED_IN");
    if (mode === "refuses") fail("CKR_MECHANISM_INVALID");
    const isSecond = fs.existsSync(process.env.FAKE_STATE ?? "/nonexistent");
    if (mode === "hangs-once" && !isSecond) {
      fs.writeFileSync(process.env.FAKE_STATE, "");
      for (;;);
    }
    if (mode === "crashes-once" && !isSecond) {
      fs.writeFileSync(process.env.FAKE_STATE, "");
      process.kill(process.pid, "SIGSEGV");
    }
    if (mode === "crashes") process.kill(process.pid, "SIGSEGV");
  }
  C_Encrypt(_session, data) {
    return Buffer.concat([data, Buffer.alloc(16)]);
  }
}

module.exports = { ...constants, PKCS11 };
