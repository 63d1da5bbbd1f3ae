import { expect, test } from "vitest";
import { parseOpenFilesMax } from "./open-files.ts";

const header = "Limit                     Soft Limit           Hard Limit           Units\n";

test.each([
  { row: "Max open files            1024                 524288               files", max: 1024 },
  {
    row: "Max open files            unlimited            unlimited            files",
    max: Number.MAX_SAFE_INTEGER,
  },
  { row: "Max processes             63000                63000                processes" },
  { row: "Max open files            a few                many                 files" },
])("the soft limit of `$row`", ({ row, max }) => {
  expect(parseOpenFilesMax(`${header}${row}\nMax file locks 1 2 locks\n`)).toBe(max);
});
