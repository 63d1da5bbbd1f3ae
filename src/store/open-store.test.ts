import { describe, expect, test } from "vitest";
import { withDefaults } from "./open-store.ts";

const options = { table: "coxswain", requestTimeoutMs: 1_000 };
const local = { accessKeyId: "local", secretAccessKey: "local" };

describe("made-up credentials", () => {
  test.each([
    "http://127.0.0.1:8000",
    "http://127.8.9.10:8000",
    "http://localhost:8000",
    "https://[::1]:8000",
  ])("are used for the loopback endpoint %s", (endpoint) => {
    expect(withDefaults({ ...options, endpoint }, {})).toEqual({
      ...options,
      endpoint,
      region: "us-east-1",
      credentials: local,
    });
  });

  test.each([
    undefined,
    "https://dynamodb.eu-central-1.amazonaws.com",
    "http://10.0.0.1:8000",
    "http://127.0.0.1.example.com:8000",
    "http://localhost.example.com:8000",
    "http://[::2]:8000",
  ])("are never sent to %s", (endpoint) => {
    expect(withDefaults({ ...options, endpoint }, {})).toEqual({ ...options, endpoint });
  });

  test.each(["AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI"])(
    "are not used where %s names others",
    (name) => {
      const endpoint = "http://127.0.0.1:8000";
      expect(withDefaults({ ...options, endpoint }, { [name]: "x" })).toEqual({
        ...options,
        endpoint,
        region: "us-east-1",
      });
    },
  );

  test("do not replace the caller's, nor the region", () => {
    const given = {
      ...options,
      endpoint: "http://127.0.0.1:8000",
      region: "eu-central-1",
      credentials: { accessKeyId: "a", secretAccessKey: "b" },
    };
    expect(withDefaults(given, {})).toEqual(given);
    const { region, ...regionless } = given;
    expect(withDefaults(regionless, { AWS_REGION: region })).toEqual(regionless);
  });
});

test.each(["127.0.0.1:8000", "ftp://127.0.0.1", "not a url"])(
  "the endpoint %s is refused",
  (endpoint) => {
    expect(() => withDefaults({ ...options, endpoint }, {})).toThrow(
      `Expected \`endpoint\` to be an http or https URL, got ${endpoint}`,
    );
  },
);
