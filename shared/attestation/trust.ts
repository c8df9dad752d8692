/**
 * Trust anchors: whose signature counts in the end.
 *
 * AWS's root is the one anchor that needs no further word. Any other (a mock root, an emulator's) is named by
 * `dangerouslyTrustRoot`, so that a search of the code finds each place that accepts one.
 *
 * Source: https://docs.aws.amazon.com/enclaves/latest/user/verify-root.html (SHA-256 of the DER, checked by a test).
 *
 * @module
 */

declare const anchor: unique symbol;

/** The DER bytes of a certificate that a chain may start at. */
export type TrustAnchor = Uint8Array & { readonly [anchor]: true };

const AWS_NITRO_ROOT_G1_BASE64 =
  "MIICETCCAZagAwIBAgIRAPkxdWgbkK/hHUbMtOTn+FYwCgYIKoZIzj0EAwMwSTELMAkGA1UEBhMCVVMxDzANBgNVBAoMBkFtYXpv" +
  "bjEMMAoGA1UECwwDQVdTMRswGQYDVQQDDBJhd3Mubml0cm8tZW5jbGF2ZXMwHhcNMTkxMDI4MTMyODA1WhcNNDkxMDI4MTQyODA1" +
  "WjBJMQswCQYDVQQGEwJVUzEPMA0GA1UECgwGQW1hem9uMQwwCgYDVQQLDANBV1MxGzAZBgNVBAMMEmF3cy5uaXRyby1lbmNsYXZl" +
  "czB2MBAGByqGSM49AgEGBSuBBAAiA2IABPwCVOumCMHzaHDimtqQvkY4MpJzbolL//Zy2YlES1BR5TSksfbb48C8WBoyt7F2Bw7e" +
  "EtaaP+ohG2bnUs990d0JX28TcPQXCEPZ3BABIeTPYwEoCWZEh8l5YoQwTcU/9KNCMEAwDwYDVR0TAQH/BAUwAwEB/zAdBgNVHQ4E" +
  "FgQUkCW1DdkFR+eWw5b6cp3PmanfS5YwDgYDVR0PAQH/BAQDAgGGMAoGCCqGSM49BAMDA2kAMGYCMQCjfy+Rocm9Xue4YnwWmNJV" +
  "A44fA0P5W2OpYow9OYCVRaEevL8uO1XYru5xtMPWrfMCMQCi85sWBbJwKKXdS6BptQFuZbT73o/gBh1qUxl/nNr12UO8Yfwr6wPL" +
  "b+6NIwLz3/Y=";

/** CN=aws.nitro-enclaves, 2019 to 2049; SHA-256 641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b. */
export const AWS_NITRO_ROOT_G1: TrustAnchor = Uint8Array.from(atob(AWS_NITRO_ROOT_G1_BASE64), (character) =>
  character.charCodeAt(0),
) as TrustAnchor;

/**
 * Trusts a root that is not AWS's: whoever holds its key can forge any measurement.
 *
 * @param der the certificate's DER bytes, compared byte for byte with the head of each chain
 */
export function dangerouslyTrustRoot(der: Uint8Array): TrustAnchor {
  if (!(der instanceof Uint8Array) || der.length === 0) throw new TypeError("a root is the DER bytes of a certificate");
  return Uint8Array.from(der) as TrustAnchor;
}
