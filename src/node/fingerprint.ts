/**
 * Fingerprints of messages: what is left when the parts that differ from host to host are taken out,
 * so that a hundred hosts that refuse a connection are one problem and not a hundred.
 *
 * Taken out are addresses, names that were looked up, and digests. Other numbers stay: status codes,
 * line numbers and error numbers tell one problem from another.
 */
const variableParts: readonly (readonly [RegExp, string])[] = [
  [/\b(?:sha256:)?[0-9a-f]{32,}\b/g, "<digest>"],
  [/\bhttps?:\/\/[^\s/,;)"'<>]+/g, "<address>"],
  [/\[[0-9A-Fa-f:.]+(?:%\w+)?\](?::\d+)?/g, "<address>"],
  [/\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b/g, "<address>"],
  [/(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])/g, "<address>"],
  // Ports have four digits or five; fewer are line numbers (`nginx.conf:12`).
  [/(?<![\w.-])[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?:\d{4,5}\b/g, "<address>"],
  [/\b(ENOTFOUND|EAI_AGAIN|ENODATA) \S+/g, "$1 <address>"],
  [/\bhost \S+ answers\b/g, "host <id> answers"],
];

/** Equal for messages that say the same of different hosts. */
export function fingerprint(message: string): string {
  return variableParts.reduce(
    (text, [pattern, placeholder]) => text.replaceAll(pattern, placeholder),
    message,
  );
}
