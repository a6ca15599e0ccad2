// A self-signed certificate, made of node:crypto and 40 lines of DER: Node can
// read certificates, not make them, and the libraries that can bring a dozen
// modules (@peculiar/x509, selfsigned) or know no elliptic curves (node-forge).
import { generateKeyPairSync, randomBytes, sign } from "node:crypto";

function der(tag, ...parts) {
  const body = Buffer.concat(parts.map((p) => (Buffer.isBuffer(p) ? p : Buffer.from(p))));
  const n = body.length;
  const length = n < 0x80 ? [n] : n < 0x100 ? [0x81, n] : [0x82, n >> 8, n & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), body]);
}

const sequence = (...parts) => der(0x30, ...parts);
const oid = (...bytes) => der(0x06, bytes);
const time = (t) => der(0x17, t.toISOString().slice(2).replace(/[-:T]|\.\d+/g, "")); // UTCTime, until 2049

const ecdsaWithSHA256 = sequence(oid(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02));
const commonName = oid(0x55, 0x04, 0x03);
const subjectAltName = oid(0x55, 0x1d, 0x11);
const basicConstraints = oid(0x55, 0x1d, 0x13);

/**
 * certificate makes a key on P-256 and a certificate for "localhost" that live
 * as long as the process, by RFC 5280.
 * @returns {{key: string, cert: string, der: Buffer}} PKCS #8 and PEM, PEM, DER
 */
export function certificate(now = new Date()) {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const serial = randomBytes(16);
  serial[0] = (serial[0] & 0x7f) | 0x40; // positive, and in its shortest form
  const name = sequence(der(0x31, sequence(commonName, der(0x0c, "localhost"))));
  const body = sequence(
    der(0xa0, der(0x02, [2])), // version 3
    der(0x02, serial),
    ecdsaWithSHA256,
    name,
    sequence(time(new Date(now.getTime() - 5 * 60_000)), time(new Date(now.getTime() + 10 * 365 * 86_400_000))),
    name,
    publicKey.export({ type: "spki", format: "der" }),
    der(0xa3, sequence(
      sequence(subjectAltName, der(0x04, sequence(der(0x82, "localhost")))),
      sequence(basicConstraints, der(0x01, [0xff]), der(0x04, sequence(der(0x01, [0xff])))),
    )),
  );
  const whole = sequence(body, ecdsaWithSHA256, der(0x03, [0], sign("sha256", body, privateKey)));
  const base64 = whole.toString("base64").replace(/.{64}/g, "$&\n").trimEnd();
  return {
    key: privateKey.export({ type: "pkcs8", format: "pem" }),
    cert: `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`,
    der: whole,
  };
}
