/** /openapi.json, made from the same route table that the server is made from. */
import { answerSchemas } from "./schemas.ts";

/** One operation of the API: what it is called, what it takes, what it answers. */
export interface RouteDescription {
  readonly method: "GET" | "PUT" | "POST" | "DELETE";
  /** With `:name` parameters. */
  readonly url: string;
  readonly summary: string;
  readonly params?: object;
  readonly query?: object;
  readonly body?: object;
  /** Media type of the body where it is not JSON. */
  readonly bodyType?: string;
  readonly status: number;
  readonly answer?: keyof typeof answerSchemas;
  /** Media type of the answer where it is not JSON. */
  readonly answerType?: string;
}

/** What the server answers besides the operations on the cluster. */
export const serviceRoutes: readonly RouteDescription[] = [
  {
    method: "GET",
    url: "/v1/events",
    summary: "The recent events, then each as it happens (server-sent events)",
    status: 200,
    answerType: "text/event-stream",
  },
  {
    method: "GET",
    url: "/v1/doctor",
    summary: "What this node says of its own limits, binds and clock, and which members it reaches",
    status: 200,
    answer: "SelfCheck",
  },
  { method: "GET", url: "/openapi.json", summary: "This document", status: 200 },
  {
    method: "GET",
    url: "/metrics",
    summary: "Metrics in the Prometheus text format",
    status: 200,
    answerType: "text/plain",
  },
  {
    method: "GET",
    url: "/healthz",
    summary: "Whether the process serves requests",
    status: 200,
    answer: "Health",
  },
  {
    method: "GET",
    url: "/readyz",
    summary: "Whether the node is a member and has loaded its share; 503 while it has not",
    status: 200,
    answer: "Readiness",
  },
];

/** An OpenAPI 3.1 document of `routes`. */
export function openapiDocument(routes: readonly RouteDescription[], version: string): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const route of routes) {
    const path = route.url.replaceAll(/:(\w+)/g, "{$1}");
    paths[path] ??= {};
    paths[path][route.method.toLowerCase()] = operation(route);
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Coxswain",
      version,
      description: "Push control plane: inventory, configs, rollouts and the state of the fleet.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    paths,
    components: { schemas: answerSchemas },
  };
}

function operation(route: RouteDescription): object {
  const type = route.bodyType ?? "application/json";
  const refused = { $ref: "#/components/schemas/Error" };
  return {
    summary: route.summary,
    parameters: [...parameters(route.params, "path"), ...parameters(route.query, "query")],
    ...(route.body === undefined && route.bodyType === undefined
      ? {}
      : { requestBody: { required: true, content: { [type]: { schema: route.body ?? {} } } } }),
    responses: {
      [route.status]: {
        description: "done",
        ...answerContent(route),
      },
      default: {
        description: "refused or failed; docs/errors.md lists the codes",
        content: { "application/json": { schema: refused } },
      },
    },
  };
}

function answerContent({ answer, answerType, status }: RouteDescription): object {
  if (answer !== undefined) {
    const schema = { $ref: `#/components/schemas/${answer}` };
    return { content: { "application/json": { schema } } };
  }
  return status === 204 ? {} : { content: { [answerType ?? "application/json"]: { schema: {} } } };
}

function parameters(schema: object | undefined, place: "path" | "query"): object[] {
  if (schema === undefined || !("properties" in schema)) return [];
  const { properties } = schema as { properties: Record<string, object> };
  return Object.entries(properties).map(([name, property]) => ({
    name,
    in: place,
    required: place === "path",
    schema: property,
  }));
}
