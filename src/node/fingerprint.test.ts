import { expect, test } from "vitest";
import { fingerprint } from "./fingerprint.ts";

test.each([
  ["connect ECONNREFUSED 127.0.0.5:9000", "connect ECONNREFUSED <address>"],
  ["connect ECONNREFUSED ::1:9000", "connect ECONNREFUSED <address>"],
  ["connect EHOSTUNREACH [2001:db8::1]:9000", "connect EHOSTUNREACH <address>"],
  ["connect ETIMEDOUT 2001:db8:0:0:0:0:0:7", "connect ETIMEDOUT <address>"],
  [
    "connect EADDRNOTAVAIL 10.0.0.1:80 - Local (10.0.0.9:51234)",
    "connect EADDRNOTAVAIL <address> - Local (<address>)",
  ],
  ["connect ECONNREFUSED localhost:9000", "connect ECONNREFUSED <address>"],
  ["getaddrinfo ENOTFOUND web-12.example.com", "getaddrinfo ENOTFOUND <address>"],
  ["No answer from https://web-1.example:7401 to hello", "No answer from <address> to hello"],
  ["host web-12 answers at this address", "host <id> answers at this address"],
  [`no such content sha256:${"a".repeat(64)}`, "no such content <digest>"],
])("%s loses what differs between hosts", (message, expected) => {
  expect(fingerprint(message)).toBe(expected);
});

test.each([
  "unexpected status 404",
  "the host is busy (503)",
  'nginx: [emerg] unknown directive "liste" in /etc/nginx/nginx.conf:12',
  "std::bad_alloc",
  "exit code 1",
  "version 1.2.3 is too old",
  "",
])("%s stays as it is", (message) => {
  expect(fingerprint(message)).toBe(message);
});
