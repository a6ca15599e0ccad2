"""whole does everything that a connector can, and fails in every way, for kits_test.go."""

from google.protobuf import timestamp_pb2

from cloister_connector import Failed, Forged, pb, serve


class Whole:
    def describe(self):
        return pb.DescribeReply(
            description=pb.Description(name="whole", version="1.0.0", summary="For tests.", channels=["push"]),
            schema=pb.Schema(
                settings=[pb.Setting(name="folder", type="string", doc="A folder.", folder=True)],
                blocks=[pb.Block(name="more", doc="More.", settings=[pb.Setting(name="n", type="number", doc="N.", default_json=b"7")])],
            ),
        )

    def configure(self, settings):
        self.folder = settings["folder"]
        return [pb.Problem(severity=pb.Problem.WARNING, path=["more", "n"], summary="odd")]

    def web_push_key(self):
        return "KEY"

    def mail_domains(self):
        return ["bounce.example"]

    def check(self):
        raise Failed("nobody\nthere")

    def send(self, messages, left):
        if messages[0].text == "fail":
            raise ValueError("cannot reach ana@example.com")
        if messages[0].text == "late":
            raise TimeoutError("ana@example.com")
        out = []
        for m in messages:
            seen = " ".join([m.expires.ToDatetime().isoformat() + "Z", m.push.sound, str(m.push.badge), m.files[0].content.decode()])
            out.append(pb.Outcome(id=m.id, result=pb.Outcome.REFUSED, **{"class": "content"}, reason=seen + "\n" + "ü" * 5000))
            if m.text == "again":
                out[-1].result = pb.Outcome.AGAIN
                out[-1].retry_after.FromMilliseconds(1500)
        return out

    def receipts(self, r, left):
        if [h.value for h in r.headers if h.name == "X-Sign"] != ["signed"]:
            raise Forged()
        at = timestamp_pb2.Timestamp(seconds=5)
        return pb.ReceiptsReply(
            status=202, headers=[pb.Header(name="Content-Type", value="text/xml")], body=b"<" + r.body + b">",
            receipts=[pb.Receipt(message_id="m1", kind="delivered", at=at), pb.Receipt(provider_id="p1", kind="bounced", **{"class": "other"}, reason="a\nb" + "ü" * 5000)],
        )

    def returned(self, r, left):
        if not r.to.startswith("b+"):
            raise Forged()
        return [pb.Receipt(message_id=r.to[2:].split("@")[0], kind="bounced", **{"class": "address"})]

    def collect(self, ack, left):
        if ack == "1":
            return [], "2"
        return [pb.Receipt(provider_id="p1", kind="uninstalled", gone="stale")], "1"

    def forget(self, addresses):
        if addresses != ["ana@example.com"]:
            raise KeyError(addresses[0])

    def drain(self):
        open(self.folder + "/drained", "w").close()


serve(Whole())
