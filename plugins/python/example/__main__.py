"""notebook appends messages to a file: the smallest connector in Python."""

import json
import os
import re
import threading

from cloister_connector import Failed, pb, serve


class Sender:
    def __init__(self):
        self.mu = threading.Lock()

    def describe(self):
        return pb.DescribeReply(
            description=pb.Description(name="notebook", version="0.1.0", summary="Writes short messages into a file.", channels=["sms"], batch=100),
            schema=pb.Schema(settings=[pb.Setting(name="folder", type="string", doc="The folder of the file.", required=True, folder=True)]),
        )

    def configure(self, settings):
        self.folder = settings.get("folder", "")
        if not os.path.isabs(self.folder):
            return [pb.Problem(path=["folder"], summary="not an absolute path", detail="write a path that begins with /")]
        return []

    def check(self):
        try:
            os.listdir(self.folder)
        except OSError:
            raise Failed("the folder cannot be read") from None

    def send(self, messages, left):
        return [self.one(m, left) for m in messages]

    def one(self, m, left):
        if m.channel != "sms":
            return pb.Outcome(id=m.id, result=pb.Outcome.REFUSED, **{"class": "config"}, reason="only sms")
        if not re.fullmatch(r"^\+[0-9]{5,15}$", m.to):
            return pb.Outcome(id=m.id, result=pb.Outcome.REFUSED, **{"class": "address"}, reason="not a number")
        if broken(m):
            return pb.Outcome(id=m.id, result=pb.Outcome.REFUSED, **{"class": "content"}, reason="a line break in a header")
        if left() <= 0:
            return pb.Outcome(id=m.id, result=pb.Outcome.AGAIN)
        line = json.dumps({"id": m.id, "to": m.to, "text": m.text}) + "\n"
        with self.mu, open(os.path.join(self.folder, "messages.jsonl"), "a") as f:
            f.write(line)
        return pb.Outcome(id=m.id, result=pb.Outcome.ACCEPTED)


def broken(m):
    """Whether a line break is where it could end a header."""
    texts = [m.to, m.to_name, m.subject] + [text for h in m.headers for text in (h.name, h.value)]
    return any("\r" in text or "\n" in text for text in texts)


serve(Sender())
