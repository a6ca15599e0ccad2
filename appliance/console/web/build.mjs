// Bundles the console into dist/: index.html, hashed scripts, styles and fonts,
// the icon, and the licences of what was bundled. Nothing else is needed to
// serve it, and it loads nothing from anywhere else.
import { build } from "esbuild";
import { readFile, writeFile, readdir, rm, mkdir, copyFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const out = join(here, "dist");

await mkdir(out, { recursive: true });
for (const name of await readdir(out)) {
  if (name !== ".keep") await rm(join(out, name), { recursive: true });
}

const { metafile } = await build({
  absWorkingDir: here,
  entryPoints: ["src/main.tsx"],
  outdir: "dist",
  entryNames: "assets/[name]-[hash]",
  assetNames: "assets/[name]-[hash]",
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  jsx: "automatic",
  jsxImportSource: "preact",
  loader: { ".woff2": "file" },
  publicPath: "/",
  metafile: true,
  legalComments: "none", // licences.txt has them whole
  logLevel: "warning",
});

const made = Object.keys(metafile.outputs).map((f) => f.slice("dist/".length));
const only = (ext) => {
  const found = made.filter((f) => f.endsWith(ext));
  if (found.length !== 1) throw new Error(`expected one ${ext} file, got ${found.join(", ")}`);
  return found[0];
};
const font = made.find((f) => f.includes("latin-wght") && !f.includes("latin-ext"));
const page = (await readFile(join(here, "src/index.html"), "utf8"))
  .replace("{{script}}", "/" + only(".js"))
  .replace("{{style}}", "/" + only(".css"))
  .replace("{{font}}", "/" + font);
await writeFile(join(out, "index.html"), page);
await copyFile(join(here, "src/icon.svg"), join(out, "icon.svg"));
await writeFile(join(out, "licences.txt"), await licences(metafile));

let total = 0;
for (const name of ["index.html", ...made]) {
  const size = name.endsWith(".woff2")
    ? (await readFile(join(out, name))).length
    : gzipSync(await readFile(join(out, name))).length;
  total += size;
  console.log(`${(size / 1024).toFixed(1).padStart(7)} kB  ${name}`);
}
console.log(`${(total / 1024).toFixed(1).padStart(7)} kB  in all, gzipped`);

async function licences(meta) {
  const names = new Set();
  for (const path of Object.keys(meta.inputs)) {
    const m = path.match(/^node_modules\/((?:@[^/]+\/)?[^/]+)\//);
    if (m) names.add(m[1]);
  }
  let text = "The console contains these packages, under these licences.\n";
  for (const name of [...names].sort()) {
    const dir = join(here, "node_modules", name);
    const version = JSON.parse(await readFile(join(dir, "package.json"), "utf8")).version;
    const file = (await readdir(dir)).find((f) => /^licen[cs]e/i.test(f));
    if (!file) throw new Error(`${name} has no licence file`);
    text += `\n${"-".repeat(72)}\n${name} ${version}\n\n${await readFile(join(dir, file), "utf8")}`;
  }
  return text;
}
