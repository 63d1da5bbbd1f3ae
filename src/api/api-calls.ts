/** Calls of the API as the tests make them, without sockets, and checks of what comes back. */
import { expect } from "vitest";
import { defectsOf } from "./answer-check.ts";
import type { TestNode } from "./api-fixture.ts";
import { answerSchemas } from "./schemas.ts";

export interface Sent {
  readonly method?: "GET" | "PUT" | "POST" | "DELETE" | "PATCH";
  readonly body?: string | Buffer | object;
  readonly type?: string;
  readonly headers?: Record<string, string>;
}

/** The calls of one test file; `running` is asked for at each call. */
export function apiCalls(running: () => TestNode) {
  async function send(url: string, { method = "GET", body, type, headers = {} }: Sent = {}) {
    const reply = await running().api.inject({
      method,
      url,
      headers: { ...headers, ...(type === undefined ? {} : { "content-type": type }) },
      ...(body === undefined ? {} : { payload: body }),
    });
    const isJson = String(reply.headers["content-type"]).startsWith("application/json");
    return {
      status: reply.statusCode,
      headers: reply.headers,
      text: reply.body,
      json: isJson ? reply.json<Record<string, unknown>>() : undefined,
    };
  }

  const put = (id: string, body: object | string, type = "application/json") =>
    send(`/v1/hosts/${id}`, { method: "PUT", body, type });
  const importText = (body: string, query = "") =>
    send(`/v1/hosts${query}`, { method: "POST", body, type: "application/x-ndjson" });
  const publish = (name: string, content: string | Buffer) =>
    send(`/v1/configs/${encodeURIComponent(name)}/releases`, {
      method: "POST",
      body: content,
      type: "application/octet-stream",
    });

  return { send, put, importText, publish };
}

/** Fails with what in `json` is not as /openapi.json says. */
export function expectAnswer(json: unknown, name: keyof typeof answerSchemas): void {
  expect(defectsOf(json, answerSchemas[name], answerSchemas)).toEqual([]);
}

export const errorOf = (json: unknown) =>
  (json as { error: { code: string; message: string; details: Record<string, unknown> } }).error;

export const idsOf = (json: unknown) =>
  (json as { hosts: { id: string }[] }).hosts.map(({ id }) => id);

let nextAddress = 0;
/** An address that no other test of the file uses; nothing listens there. */
export const deadAddress = () => `http://127.0.99.${++nextAddress}:1`;

export const unknownDigest = `sha256:${"0".repeat(64)}`;
