// Bundles cloister.js and its service worker into dist/. Nothing of anybody
// else's is in them.
import { build } from "esbuild";
import { mkdir, readFile, readdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const here = dirname(fileURLToPath(import.meta.url));
const out = join(here, "dist");
const bound = 5000; // bytes of cloister.js, gzipped

await mkdir(out, { recursive: true });
for (const name of await readdir(out)) {
  if (name !== ".keep") await rm(join(out, name), { recursive: true });
}
await build({
  absWorkingDir: here,
  entryPoints: { cloister: "src/main.ts", "cloister-sw": "src/worker.ts" },
  outdir: "dist",
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2020",
  legalComments: "none",
  logLevel: "warning",
});
for (const name of ["cloister.js", "cloister-sw.js"]) {
  const size = gzipSync(await readFile(join(out, name)), { level: 9 }).length;
  console.log(`${String(size).padStart(6)} bytes  ${name}, gzipped`);
  if (size >= bound) throw new Error(`${name} has ${size} bytes gzipped, and may have fewer than ${bound}`);
}
