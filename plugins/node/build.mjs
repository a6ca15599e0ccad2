// Bundles a connector and all that it imports into one program, which the
// appliance verifies and executes: node build.mjs FILE.js PROGRAM
import { chmod } from "node:fs/promises";
import { build } from "esbuild";

const [from, to] = process.argv.slice(2);
if (!to) {
  console.error("Usage: node build.mjs FILE.js PROGRAM");
  process.exit(2);
}
await build({
  entryPoints: [from],
  outfile: to,
  bundle: true,
  platform: "node",
  target: "node18",
  format: "cjs", // what Node takes a file without an extension for
  banner: { js: "#!/usr/bin/node" },
  legalComments: "eof",
  logLevel: "warning",
});
await chmod(to, 0o755);
