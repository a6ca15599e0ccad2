// Bundles the unit tests beside the sources and runs them with Node's runner.
import { build } from "esbuild";
import { spawnSync } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const out = await mkdtemp(join(tmpdir(), "cloister-js-test-"));
try {
  const tests = (await readdir(join(here, "src"), { recursive: true })).filter((f) => f.endsWith(".test.ts"));
  if (tests.length === 0) throw new Error("there are no tests");
  await build({
    absWorkingDir: here,
    entryPoints: tests.map((f) => join("src", f)),
    outdir: out,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    platform: "node",
    format: "esm",
    logLevel: "warning",
  });
  const made = (await readdir(out, { recursive: true })).filter((f) => f.endsWith(".mjs")).map((f) => join(out, f));
  process.exitCode = spawnSync(process.execPath, ["--test", ...made], { stdio: "inherit" }).status ?? 1;
} finally {
  await rm(out, { recursive: true });
}
