// The client guide, run as it stands: what openapi/README.md shows in each language, joined to one program and asked to work.

import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";

const here = import.meta.dirname;
const guide = readFileSync(path.join(here, "../../openapi/README.md"), "utf8");
const base = process.env.REPLICAS.split(",")[0];
// Among the packages, so that the program finds them.
const place = path.join(here, "node_modules", ".guide");
mkdirSync(place, { recursive: true });

const languages = [
  // Nothing may keep the program alive that the reader was not shown.
  { fence: "js", file: "guide.mjs", command: [process.execPath], after: "\nconsole.log('the guide is at its end');\n" },
  { fence: "python", file: "guide.py", command: [path.join(here, "python/.venv/bin/python"), "-u"], after: "\nprint('the guide is at its end')\n" },
];

let failed = 0;
for (const { fence, file, command, after } of languages) {
  const pieces = [...guide.matchAll(new RegExp("^```" + fence + "\\n(.*?)^```$", "gms"))].map((match) => match[1]);
  if (pieces.length < 4) throw new Error(`openapi/README.md should have at least four pieces of ${fence}, not ${pieces.length}`);
  writeFileSync(path.join(place, file), pieces.join("\n") + after);
  const done = spawnSync(command[0], [...command.slice(1), path.join(place, file)], {
    env: { ...process.env, BASE: base },
    encoding: "utf8",
    timeout: 60_000,
  });
  const passed = done.status === 0 && done.stdout.endsWith("the guide is at its end\n");
  if (!passed) console.error(done.stdout, done.stderr, done.error ?? "");
  console.log(`client guide, ${fence}: ${passed ? "passed" : "FAILED"}`);
  failed += !passed;
}
process.exitCode = failed ? 1 : 0;
