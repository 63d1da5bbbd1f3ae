/**
 * The fleet listener: agents' hellos and peers' calls.
 *
 * A caller of another cluster is refused before its body counts for anything. What arrives here only
 * wakes the node, asks it questions or attaches a host; nothing here changes what a host should hold.
 */
import type { FastifyInstance } from "fastify";
import { CoxswainError } from "../kernel/errors.ts";
import type { Logger } from "../kernel/log.ts";
import type { Node } from "../node/node.ts";
import { relayBodyBytesMax } from "../node/link-calls.ts";
import { parsePeerAsk } from "../node/peer-shapes.ts";
import { memberPath, noMemberStatus, peerPath, type PeerCalls } from "../node/peers.ts";
import { limits } from "../protocol/limits.ts";
import { helloPath, helloSchema, syncHeaders } from "../protocol/sync.ts";
import { createHttpServer, watchMethods } from "./http-server.ts";
import { acceptAttaches } from "./attach-server.ts";
import { addPollRoutes } from "./poll-routes.ts";

const peerBodyBytesMax = limits.importBodyBytesMax;

/** The fleet listener, ready to listen; `node()` is undefined until the node has been made. */
export function createFleetServer(
  node: () => Node | undefined,
  log: Logger,
  hostSecret?: Buffer,
): FastifyInstance {
  const server = createHttpServer(log);
  const refuseOtherMethods = watchMethods(server);
  const ready = (cluster: unknown): Node => {
    const current = node();
    if (current === undefined) throw new CoxswainError("NODE_NOT_READY", "The node is starting");
    if (cluster !== current.cluster) {
      throw new CoxswainError(
        "CLUSTER_MISMATCH",
        `Expected header ${syncHeaders.cluster} to be ${current.cluster}, got ${String(cluster)}`,
      );
    }
    return current;
  };
  server.get("/healthz", () => ({ status: "ok" }));
  server.get(memberPath, (_request, reply) =>
    reply.status(node()?.isMember() === true ? 204 : noMemberStatus).send(),
  );
  server.post(helloPath, async (request, reply) => {
    const current = ready(request.headers[syncHeaders.cluster]);
    const hello = helloSchema.safeParse(request.body);
    if (!hello.success) {
      const [issue] = hello.error.issues;
      const field = ["body", ...(issue?.path ?? [])].join(".");
      throw new CoxswainError(
        "REQUEST_INVALID",
        `Expected ${field} of a hello: ${issue?.message}`,
        {
          details: { field },
        },
      );
    }
    const outcome = await current.hello(hello.data);
    reply.status(outcome === "unknownHost" ? 404 : 202);
    return { outcome };
  });
  addPollRoutes(server, ready, hostSecret);
  const peerRoute = <Name extends keyof PeerCalls>(name: Name, bodyLimit = peerBodyBytesMax) => {
    server.post(peerPath(name), { bodyLimit }, async (request) => {
      const current = ready(request.headers[syncHeaders.cluster]);
      return current.answerPeer(name, parsePeerAsk(name, request.body));
    });
  };
  peerRoute("hint");
  peerRoute("hello");
  peerRoute("hosts");
  peerRoute("counts");
  peerRoute("addresses");
  peerRoute("events");
  peerRoute("knock");
  peerRoute("links");
  peerRoute("relay", relayBodyBytesMax);
  peerRoute("poll");
  peerRoute("report");
  refuseOtherMethods();
  acceptAttaches(server.server, node, hostSecret);
  return server;
}
