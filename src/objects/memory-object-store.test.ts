import { MemoryObjectStore } from "./memory-object-store.ts";
import { describeObjectStore } from "./object-store-contract.ts";

describeObjectStore("memory", async () => {
  const store = new MemoryObjectStore();
  return { store, other: new MemoryObjectStore(store.objects), stop: async () => {} };
});
