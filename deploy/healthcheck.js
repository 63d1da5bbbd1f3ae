// Ends with 0 where this container's node is ready to serve, else with 1: what HEALTHCHECK asks.
// Reads the same variables as the node; 0.0.0.0 as a destination is this machine.
const host = process.env.COXSWAIN_API_HOST || "127.0.0.1";
const url = new URL("http://localhost/readyz");
url.hostname = host.includes(":") ? "[" + host + "]" : host;
url.port = process.env.COXSWAIN_API_PORT || "7400";

try {
  const answer = await fetch(url, { signal: AbortSignal.timeout(4_000) });
  process.stdout.write(await answer.text());
  process.exitCode = answer.ok ? 0 : 1;
} catch (error) {
  process.stdout.write(String(error.cause ?? error));
  process.exitCode = 1;
}
