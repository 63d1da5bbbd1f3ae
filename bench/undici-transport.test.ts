import { testTransport } from "../src/push/transport-contract.ts";
import { createUndiciTransport } from "./undici-transport.ts";

testTransport("the undici transport", createUndiciTransport);
