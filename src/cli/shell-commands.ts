import { Argument, type Command } from "commander";
import type { Lazily } from "./lazily.ts";

/** Commands that describe the program to a shell and to man. */
export function addShellCommands(program: Command, lazily: Lazily): void {
  program
    .command("completion")
    .description("print a script that completes commands and options in a shell")
    .addArgument(new Argument("<shell>", "your shell").choices(["bash", "zsh", "fish"]))
    .addHelpText(
      "after",
      `
bash  add to ~/.bashrc:  source <(proof402 completion bash)
zsh   add to ~/.zshrc, after compinit:  source <(proof402 completion zsh)
fish  proof402 completion fish > ~/.config/fish/completions/proof402.fish`,
    )
    .action(lazily(async () => (await import("./shell/print.ts")).completion(program)));
  program
    .command("man")
    .description("print the manual page: proof402 man | man -l -")
    .action(lazily(async () => (await import("./shell/print.ts")).man(program)));
}
