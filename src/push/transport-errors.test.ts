import { describe, expect, it } from "vitest";
import { classOfError } from "./transport-errors.ts";

describe("classOfError", () => {
  it.each([
    ["EMFILE", false, "local"],
    ["EADDRNOTAVAIL", false, "local"],
    ["ENETUNREACH", false, "local"],
    ["EAI_AGAIN", false, "resolve"],
    ["ECONNREFUSED", false, "refused"],
    ["EHOSTUNREACH", false, "timeout"],
    ["ETIMEDOUT", true, "ambiguous"],
    ["CERT_HAS_EXPIRED", false, "tls"],
    ["ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED", true, "tls"],
    ["UND_ERR_HEADERS_OVERFLOW", true, "protocol"],
    ["ECONNRESET", true, "ambiguous"],
    ["ECONNRESET", false, "refused"],
    ["SOMETHING_NEW", true, "ambiguous"],
  ] as const)("takes %s (sent: %s) as %s", (code, isSent, failure) => {
    expect(classOfError(Object.assign(new Error("x"), { code }), isSent)).toBe(failure);
  });
});
