/** `host-key`: derives a host's key from the cluster's secret; needs no node. */
import type { Command } from "commander";
import { parseHostId } from "../../inventory/host.ts";
import { CoxswainError } from "../../kernel/errors.ts";
import { hostKeyOf } from "../../protocol/host-key.ts";
import { print } from "../cli-context.ts";
import { examples, type CommandShell } from "../command-shell.ts";

interface HostKeyFlags {
  readonly hostSecretFile?: string;
}

export function registerHostKey(program: Command, shell: CommandShell): void {
  const command = program
    .command("host-key <id>")
    .description("Prints the key with which a host proves who it is: 64 hexadecimal digits.")
    .option(
      "--host-secret-file <file>",
      "the cluster's secret, as nodes are given it (env COXSWAIN_HOST_SECRET_FILE)",
    )
    .addHelpText(
      "after",
      examples(
        "head -c 32 /dev/urandom > cluster.secret   # once",
        "coxswain host-key edge-17 --host-secret-file cluster.secret > edge-17.key",
      ),
    );
  shell.onLocal<HostKeyFlags>(command, async (context, { args, options }) => {
    const file = options.hostSecretFile ?? context.env["COXSWAIN_HOST_SECRET_FILE"] ?? "";
    const { readHostSecret } = await import("../../api/host-secret.ts");
    const secret = readHostSecret(file);
    if (secret === undefined) {
      throw new CoxswainError("OPTION_INVALID", "Expected `hostSecretFile` to be given, got none");
    }
    print(context.stdout, hostKeyOf(secret, parseHostId(args[0])).toString("hex"));
    return 0;
  });
}
