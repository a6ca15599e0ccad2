"""Serves a connector for Cloister, written in Python.

An author writes a class and calls serve() with an instance of it:

    describe()               a pb.DescribeReply; at once, without side effects
    configure(settings)      a dict; returns a list of pb.Problem
    check()                  raises if the provider cannot be reached
    send(messages, left)     a list of pb.Outcome, in order; left() is the
                             seconds until the answer must be given

and, of those that follow, what its provider has:

    drain()
    receipts(request, left)  a pb.ReceiptsRequest; a list of pb.Receipt, or a
                             pb.ReceiptsReply that says what the provider is
                             answered; raises Forged
    returned(mail, left)     a pb.ReturnedRequest; a list of pb.Receipt; raises
                             Forged
    collect(ack, left)       a list of pb.Receipt and a token
    forget(addresses)
    web_push_key()           after configure: the key that browsers subscribe with
    mail_domains()           after configure: whose mail is for returned

plugins/connectorpb/connector.proto says what calls and fields mean. Calls
overlap: they come from several threads. An exception fails the whole call; the
log and the appliance get its type, not its text, which may hold addresses. The
text of a Failed is the author's own and goes to operators.
"""

import base64
import concurrent.futures
import datetime
import json
import logging
import os
import re
import signal
import sys
import threading
import time
import unicodedata

import grpc

from . import connector_pb2 as pb

__all__ = ["Failed", "Forged", "pb", "serve"]

_COOKIE = "9d1f7c4e-connector"
# The bounds of plugins/connectorpb.
_MAX_MESSAGE = 4 << 20
_MAX_REASON = 200
_MAX_PROVIDER_ID = 256
_MAX_ERROR = 1024
_MAX_COLLECTED = 1000


class Failed(Exception):
    """What went wrong, in words for operators: without personal data."""


class Forged(Exception):
    """The signature is not the provider's."""


def _clean(text, most):
    """One line without control characters, cut to so many bytes of UTF-8."""
    text = "".join(" " if unicodedata.category(c) in ("Cc", "Cf") else c for c in text[: 4 * most])
    text = re.sub(r"\s+", " ", text).strip()
    return text.encode("utf-8", "replace")[:most].decode("utf-8", "ignore").rstrip()


def _cut(said):
    """Outcomes or receipts, cut to what the appliance keeps."""
    said = list(said)
    for o in said:
        o.reason = _clean(o.reason, _MAX_REASON)
        o.provider_id = _clean(o.provider_id, _MAX_PROVIDER_ID)
    return said


class _Log(logging.Formatter):
    def format(self, r):
        msg = r.getMessage()
        if r.exc_info:
            msg += ": " + r.exc_info[0].__name__
        return json.dumps({"level": r.levelname.lower(), "msg": msg})


def _certificate():
    """A key and a certificate that live as long as the process: PEM, PEM, DER."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.utcnow()
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=3650))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    e = serialization.Encoding
    return (
        key.private_bytes(e.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        cert.public_bytes(e.PEM),
        cert.public_bytes(e.DER),
    )


class _Server:
    """Answers connector.v1 with a connector."""

    def __init__(self, c):
        self.c = c
        self.mu = threading.Lock()
        self.stage = "fresh"

    def can(self, name):
        return hasattr(self.c, name)

    def describe(self, _, ctx):
        r = self.c.describe()
        r.receives, r.forgets = self.can("receipts"), self.can("forget")
        r.returns, r.collects = self.can("returned"), self.can("collect")
        return r

    def configure(self, r, ctx):
        with self.mu:
            if self.stage != "fresh":
                ctx.abort(grpc.StatusCode.FAILED_PRECONDITION, "configured already")
            self.stage = "configuring"
        problems = self.c.configure(json.loads(r.settings_json or b"{}")) or []
        reply = pb.ConfigureReply(problems=problems)
        if all(p.severity != pb.Problem.ERROR for p in problems):
            if self.can("web_push_key"):
                reply.web_push_key = self.c.web_push_key()
            if self.can("mail_domains"):
                reply.mail_domains.extend(self.c.mail_domains())
            with self.mu:
                self.stage = "ready"
        return reply

    def ready(self, ctx, optional=None):
        if optional and not self.can(optional):
            ctx.abort(grpc.StatusCode.UNIMPLEMENTED, "this connector has no " + optional)
        with self.mu:
            stage = self.stage
        if stage != "ready":
            ctx.abort(grpc.StatusCode.FAILED_PRECONDITION, "drained" if stage == "drained" else "not configured")

    def left(self, ctx):
        left = min(ctx.time_remaining() or 30.0, 30.0)
        # Before the appliance's own deadline, so that the answer still arrives.
        end = time.monotonic() + left - min(left / 5, 2)
        return lambda: end - time.monotonic()

    def check(self, _, ctx):
        self.ready(ctx)
        self.c.check()
        return pb.CheckReply()

    def send(self, r, ctx):
        self.ready(ctx)
        if not r.messages:
            return pb.SendReply()
        return pb.SendReply(outcomes=_cut(self.c.send(list(r.messages), self.left(ctx))))

    def receipts(self, r, ctx):
        self.ready(ctx, "receipts")
        a = self.c.receipts(r, self.left(ctx))
        if not isinstance(a, pb.ReceiptsReply):
            a = pb.ReceiptsReply(receipts=a)
        _cut(a.receipts)
        return a

    def returned(self, r, ctx):
        self.ready(ctx, "returned")
        return pb.ReceiptsReply(receipts=_cut(self.c.returned(r, self.left(ctx))))

    def collect(self, r, ctx):
        self.ready(ctx, "collect")
        receipts, token = self.c.collect(r.ack, self.left(ctx))
        if len(receipts) > _MAX_COLLECTED:
            raise ValueError("too many receipts")
        return pb.CollectReply(receipts=_cut(receipts), token=token)

    def forget(self, r, ctx):
        self.ready(ctx, "forget")
        self.c.forget(list(r.addresses))
        return pb.ForgetReply()

    def drain(self, _, ctx):
        with self.mu:
            was, self.stage = self.stage, "drained"
        if was == "ready" and self.can("drain"):
            self.c.drain()
        return pb.DrainReply()


def _method(f, request):
    def call(r, ctx):
        try:
            return f(r, ctx)
        except Forged:
            ctx.abort(grpc.StatusCode.PERMISSION_DENIED, "forged")
        except Failed as e:
            ctx.abort(grpc.StatusCode.UNKNOWN, _clean(str(e), _MAX_ERROR))
        except Exception as e:
            if ctx.code() is not None:  # aborted on purpose
                raise
            logging.error("%s failed: %s", f.__name__, type(e).__name__)
            # Not DEADLINE_EXCEEDED, which means that we hung.
            code = grpc.StatusCode.ABORTED if isinstance(e, TimeoutError) else grpc.StatusCode.UNKNOWN
            ctx.abort(code, f.__name__ + " failed: " + type(e).__name__)

    return grpc.unary_unary_rpc_method_handler(call, request.FromString, lambda m: m.SerializeToString())


def serve(c):
    """Serves c until the appliance ends the process; it does not return before."""
    if os.environ.get("CLOISTER_CONNECTOR") != _COOKIE:
        sys.exit("This is a connector of Cloister. It is not started by hand: put it into the connectors folder and name it in the configuration.")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Log())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # What is printed is log: the handshake alone goes to standard output.
    out, sys.stdout = sys.stdout, sys.stderr

    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's, meant for the appliance
    stop = threading.Event()
    s = _Server(c)

    def shutdown(_, ctx):
        stop.set()
        return b""

    raw = grpc.unary_unary_rpc_method_handler
    server = grpc.server(
        concurrent.futures.ThreadPoolExecutor(max_workers=16),
        options=[("grpc.max_receive_message_length", _MAX_MESSAGE), ("grpc.max_send_message_length", _MAX_MESSAGE)],
    )
    server.add_generic_rpc_handlers((
        grpc.method_handlers_generic_handler("connector.v1.Connector", {
            "Describe": _method(s.describe, pb.DescribeRequest),
            "Configure": _method(s.configure, pb.ConfigureRequest),
            "Check": _method(s.check, pb.CheckRequest),
            "Send": _method(s.send, pb.SendRequest),
            "Receipts": _method(s.receipts, pb.ReceiptsRequest),
            "Returned": _method(s.returned, pb.ReturnedRequest),
            "Collect": _method(s.collect, pb.CollectRequest),
            "Forget": _method(s.forget, pb.ForgetRequest),
            "Drain": _method(s.drain, pb.DrainRequest),
        }),
        # HealthCheckResponse{status: SERVING}
        grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": raw(lambda r, ctx: b"\x08\x01")}),
        grpc.method_handlers_generic_handler("plugin.GRPCController", {"Shutdown": raw(shutdown)}),
    ))
    key, cert, der = _certificate()
    path = os.path.join(os.environ["PLUGIN_UNIX_SOCKET_DIR"], "python.sock")
    client = os.environ["PLUGIN_CLIENT_CERT"].encode()
    server.add_secure_port("unix:" + path, grpc.ssl_server_credentials([(key, cert)], client, True))
    server.start()
    print("1|1|unix|%s|grpc|%s" % (path, base64.b64encode(der).decode().rstrip("=")), file=out, flush=True)
    while not stop.wait(3600):
        pass
    server.stop(1).wait()
    os._exit(0)
