/**
 * Findings as people and programs read them.
 *
 * The JSON is API: fields are added, never renamed. For people one line a check, worst news not hidden
 * among the good: the last line counts them, and everything to do stands right below what was seen.
 */
import { paint, type Colour, type TextOutput } from "../cli-context.ts";
import { printable } from "../format.ts";
import type { Area, Finding, Verdict } from "./finding.ts";

export type Counts = Readonly<Record<Verdict, number>>;

export function countVerdicts(findings: readonly Finding[]): Counts {
  const countOf = (verdict: Verdict) => findings.filter((each) => each.verdict === verdict).length;
  return {
    ok: countOf("ok"),
    warn: countOf("warn"),
    fail: countOf("fail"),
    skipped: countOf("skipped"),
  };
}

/** `{isHealthy, counts, findings: [{check, verdict, seen, advice}]}`; advice is null where all is well. */
export function reportJson(findings: readonly Finding[]): string {
  const counts = countVerdicts(findings);
  const rows = findings.map(({ check, verdict, seen, advice = null }) => ({
    check,
    verdict,
    seen,
    advice,
  }));
  return JSON.stringify({ isHealthy: counts.fail === 0, counts, findings: rows }, null, 2);
}

const areaTitles: Readonly<Record<Area, string>> = {
  store: "Store",
  nodes: "Nodes",
  agreement: "Agreement between nodes",
  alarms: "Alarms",
  hosts: "Hosts",
  machine: "Open files",
};

const words: Readonly<Record<Verdict, { readonly text: string; readonly colour: Colour }>> = {
  ok: { text: "ok", colour: "green" },
  warn: { text: "warn", colour: "yellow" },
  fail: { text: "FAIL", colour: "red" },
  skipped: { text: "skipped", colour: "dim" },
};

const indent = "  ";
const verdictWidth = 9;

/** `store.rights` -> `rights`: the heading has the rest. */
const nameOf = ({ check }: Finding) => check.slice(check.indexOf(".") + 1);

type Output = Pick<TextOutput, "hasColours" | "isTerminal" | "size">;

export function reportTable(findings: readonly Finding[], output: Output): string {
  const nameWidth = Math.max(...findings.map((each) => nameOf(each).length)) + 2;
  const offset = indent.length + verdictWidth + nameWidth;
  // Where nobody watches a line stays a line, so that it can be searched.
  const columns = output.isTerminal ? Math.max(output.size().columns, offset + 30) : Infinity;
  const sections = Map.groupBy(findings, ({ area }) => area);
  const texts = [...sections].map(([area, some]) => {
    const lines = some.flatMap((each) => {
      const { text, colour } = words[each.verdict];
      const head =
        indent + paint(output, colour, text.padEnd(verdictWidth)) + nameOf(each).padEnd(nameWidth);
      const [first = "", ...rest] = wrap(printable(each.seen), columns - offset);
      const advice =
        each.advice === undefined ? [] : wrap(printable(each.advice), columns - offset - 2);
      const below = [
        ...rest,
        ...advice.map((line, index) => (index === 0 ? `→ ${line}` : `  ${line}`)),
      ];
      return [head + first, ...below.map((line) => " ".repeat(offset) + line)];
    });
    return [paint(output, "bold", areaTitles[area]), ...lines].join("\n");
  });
  return [...texts, summary(findings, output)].join("\n\n");
}

function summary(findings: readonly Finding[], output: Output): string {
  const { ok, warn, fail, skipped } = countVerdicts(findings);
  const parts = [
    ...(fail > 0 ? [paint(output, "red", `${fail} to fix`)] : []),
    ...(warn > 0
      ? [paint(output, "yellow", `${warn} ${warn === 1 ? "warning" : "warnings"}`)]
      : []),
    paint(output, "green", `${ok} ok`),
    ...(skipped > 0 ? [`${skipped} skipped`] : []),
  ];
  return `${parts.join(", ")}.`;
}

/** Words on lines of `width` characters at most; a longer word gets a line of its own. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}
