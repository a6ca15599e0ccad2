// Serves a connector for Cloister, written for Node. An author calls serve()
// with an object; README.md lists its methods.
import { writeSync } from "node:fs";
import { join } from "node:path";
import { format } from "node:util";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { fromJSON } from "@grpc/proto-loader";
import { certificate } from "./certificate.js";
import proto from "./connector.json";
import { handlers, kind } from "./server.js";

export { Failed, Forged } from "./server.js";

const cookie = "9d1f7c4e-connector";
const maxMessage = 4 << 20;

function log(level, msg) {
  process.stderr.write(JSON.stringify({ level, msg }) + "\n");
}

// Calls whose few bytes need no proto.
const raw = (path) => ({
  path, requestStream: false, responseStream: false,
  requestSerialize: (b) => b, requestDeserialize: (b) => b, responseSerialize: (b) => b, responseDeserialize: (b) => b,
});

/** Serves c until the appliance ends the process. */
export function serve(c) {
  if (process.env.CLOISTER_CONNECTOR !== cookie) {
    console.error("This is a connector of Cloister. It is not started by hand: put it into the connectors folder and name it in the configuration.");
    process.exit(2);
  }
  // What is printed is log: the handshake alone goes to standard output.
  for (const [method, level] of [["debug", "debug"], ["log", "info"], ["info", "info"], ["warn", "warn"], ["error", "error"]]) {
    console[method] = (...args) => log(level, format(...args));
  }
  process.stdout.write = process.stderr.write.bind(process.stderr);
  // Nothing goes on with half a state; the appliance starts another process.
  for (const event of ["uncaughtException", "unhandledRejection"]) {
    process.on(event, (e) => {
      log("error", `the connector ends by ${kind(e)}`);
      process.exit(1);
    });
  }
  process.on("SIGTERM", () => process.exit(0));
  process.on("SIGINT", () => {}); // the terminal's, meant for the appliance

  const server = new Server({ "grpc.max_receive_message_length": maxMessage, "grpc.max_send_message_length": maxMessage });
  const definitions = fromJSON(proto, { longs: Number, enums: String, defaults: true });
  server.addService(definitions["connector.v1.Connector"], handlers(c, log));
  server.addService({ Check: raw("/grpc.health.v1.Health/Check") }, {
    Check: (_, done) => done(null, Buffer.from([0x08, 0x01])), // HealthCheckResponse{status: SERVING}
  });
  server.addService({ Shutdown: raw("/plugin.GRPCController/Shutdown") }, {
    Shutdown(_, done) {
      done(null, Buffer.alloc(0));
      setTimeout(() => process.exit(0), 1000);
      server.tryShutdown(() => process.exit(0));
    },
  });

  const { key, cert, der } = certificate();
  const path = join(process.env.PLUGIN_UNIX_SOCKET_DIR, "node.sock");
  const pair = [{ private_key: Buffer.from(key), cert_chain: Buffer.from(cert) }];
  const credentials = ServerCredentials.createSsl(Buffer.from(process.env.PLUGIN_CLIENT_CERT), pair, true);
  server.bindAsync("unix:" + path, credentials, (err) => {
    if (err) throw err;
    writeSync(1, `1|1|unix|${path}|grpc|${der.toString("base64").replace(/=+$/, "")}\n`);
  });
}
