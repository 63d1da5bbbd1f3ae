/**
 * From an error of the operating system, TLS or undici to a failure class, once, at the boundary.
 *
 * The class decides whose fault it is and how soon to try again, so what is not known falls to the
 * careful side: after the request was sent it is `ambiguous`, before that the host refused it.
 */
import type { FailureClass } from "./transport.ts";

const classes: Readonly<Record<string, FailureClass>> = {
  EMFILE: "local",
  ENFILE: "local",
  ENOBUFS: "local",
  ENOMEM: "local",
  EADDRNOTAVAIL: "local",
  EADDRINUSE: "local",
  ENETUNREACH: "local",
  ENETDOWN: "local",
  EACCES: "local",
  EPERM: "local",
  ENOTFOUND: "resolve",
  EAI_AGAIN: "resolve",
  EAI_FAIL: "resolve",
  EAI_NODATA: "resolve",
  EAI_NONAME: "resolve",
  ERR_INVALID_URL: "resolve",
  ERR_SOCKET_BAD_PORT: "resolve",
  UND_ERR_INVALID_ARG: "resolve",
  ECONNREFUSED: "refused",
  ETIMEDOUT: "timeout",
  EHOSTUNREACH: "timeout",
  EHOSTDOWN: "timeout",
  EPROTO: "tls",
  CERT_HAS_EXPIRED: "tls",
  CERT_NOT_YET_VALID: "tls",
  CERT_REVOKED: "tls",
  CERT_UNTRUSTED: "tls",
  DEPTH_ZERO_SELF_SIGNED_CERT: "tls",
  SELF_SIGNED_CERT_IN_CHAIN: "tls",
  UNABLE_TO_GET_ISSUER_CERT: "tls",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "tls",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "tls",
  HOSTNAME_MISMATCH: "tls",
  UND_ERR_RES_EXCEEDED_MAX_SIZE: "protocol",
  UND_ERR_HEADERS_OVERFLOW: "protocol",
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: "protocol",
};

/** `isSent`: the request may have reached the host. */
export function classOfError(error: Error, isSent: boolean): FailureClass {
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  const known = classes[code];
  if (known !== undefined && !(isSent && known === "timeout")) return known;
  // undici 8.12 leaves the parser error's code undefined, so its name is what there is.
  if (error.name === "HTTPParserError") return "protocol";
  if (code.startsWith("ERR_SSL_") || code.startsWith("ERR_TLS_")) return "tls";
  return isSent ? "ambiguous" : "refused";
}
