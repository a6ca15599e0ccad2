// Prints connector.proto as protobufjs keeps it, for connector.json, so that no
// connector reads a file or parses the proto when it starts: npm run --silent proto >connector.json
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import protobuf from "protobufjs";

const here = dirname(fileURLToPath(import.meta.url));
const root = await protobuf.load(join(here, "../connectorpb/connector.proto"));
console.log(JSON.stringify(root.toJSON(), null, 1));
