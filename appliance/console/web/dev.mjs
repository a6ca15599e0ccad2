// Serves the console while it is changed: bundles anew on each reload and hands
// /v1 on to a daemon that runs already.
//
//   npm run dev -- http://127.0.0.1:8481        then open http://127.0.0.1:8490
import http from "node:http";
import { readFile } from "node:fs/promises";
import { spawnSync } from "node:child_process";
import { dirname, extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const daemon = new URL(process.argv[2] ?? "http://127.0.0.1:8481");
const port = 8490;
const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; font-src 'self'; frame-src 'self'; " +
  "base-uri 'none'; frame-ancestors 'none'; form-action 'self'; require-trusted-types-for 'script'; trusted-types 'none'"; // as the daemon's
const types = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".woff2": "font/woff2", ".txt": "text/plain" };

http
  .createServer(async (req, res) => {
    const path = new URL(req.url, "http://dev").pathname;
    if (path.startsWith("/v1/")) {
      // To the daemon these are its own pages' requests.
      const headers = { ...req.headers, host: daemon.host };
      if (headers.origin) headers.origin = daemon.origin;
      const out = http.request({ host: daemon.hostname, port: daemon.port, method: req.method, path: req.url, headers }, (answer) => {
        res.writeHead(answer.statusCode, answer.headers);
        answer.pipe(res);
      });
      out.on("error", () => res.writeHead(502).end());
      res.on("close", () => out.destroy());
      req.pipe(out);
      return;
    }
    const page = extname(path) === "";
    if (page) {
      const built = spawnSync(process.execPath, [join(here, "build.mjs")], { stdio: ["ignore", "ignore", "pipe"] });
      if (built.status !== 0) return res.writeHead(500, { "Content-Type": "text/plain" }).end(built.stderr);
    }
    try {
      const file = await readFile(join(here, "dist", page ? "index.html" : normalize(path)));
      res.writeHead(200, { "Content-Type": types[page ? ".html" : extname(path)] ?? "application/octet-stream", "Content-Security-Policy": policy, "Cache-Control": "no-store" }).end(file);
    } catch {
      res.writeHead(404).end();
    }
  })
  .listen(port, "127.0.0.1", () => console.log(`http://127.0.0.1:${port}, with the daemon at ${daemon.origin}`));
