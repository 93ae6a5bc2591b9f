"""Stands between a program and the S3 server and misbehaves as it is told: cuts answers off, says 503, is gone, sends a byte a
second, lies about an ETag, refuses to write, has another time, speaks TLS. Requests pass as they are, Host header and all, so
that their signatures stay right."""
import contextlib
import email.utils
import http.client
import re
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse


class Fault:
    """What to do with requests that `match` (method and path, a regular expression); `times` of them, None: all."""

    def __init__(self, match, act, times=None):
        self.match, self.act, self.left, self.hits = re.compile(match), act, times, 0


def say(status, code, message="", **headers):
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    return lambda answer, send: send(status, {"Content-Length": str(len(body)), **headers}, body)


def truncated(answer, send):
    status, headers, body = answer()
    send(status, headers, body[:len(body) // 2])
    raise ConnectionAbortedError


def cut(answer, send):
    answer()
    raise ConnectionAbortedError


def slowly(answer, send):
    status, headers, body = answer()
    send(status, headers, b"")
    for i in range(len(body)):
        send(None, None, body[i:i + 1])
        time.sleep(1)


def late(seconds):
    def act(answer, send):
        told = answer()
        time.sleep(seconds)
        send(*told)
    return act


def wrong_etag(answer, send):
    status, headers, body = answer()
    send(status, {**headers, "ETag": '"00000000000000000000000000000000"'}, body)


def other_time(minutes):
    def act(answer, send):
        say(403, "RequestTimeTooSkewed", "The difference between the request time and the server's time is too large.",
            Date=email.utils.formatdate(time.time() + 60 * minutes, usegmt=True))(answer, send)
    return act


class Hostile:
    def __init__(self, url, certificate=None, address="127.0.0.1"):
        self.address = address
        self.target = urllib.parse.urlsplit(url).netloc
        self.faults, self.seen = [], []
        self.lock = threading.Lock()
        self.context = None
        if certificate:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*certificate)
        self.listener = self.thread = None
        self.port = 0
        self.begin()
        self.url = f"http{'s' if certificate else ''}://{address}:{self.port}"

    def begin(self):
        self.listener = socket.create_server((self.address, self.port))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.accept, args=(self.listener,), daemon=True)
        self.thread.start()

    def end(self):
        """From now on connections are refused."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()

    @contextlib.contextmanager
    def fault(self, match, act, times=None):
        fault = Fault(match, act, times)
        with self.lock:
            self.faults.append(fault)
        yield fault
        with self.lock:
            self.faults.remove(fault)

    def accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with contextlib.suppress(OSError, ssl.SSLError, ValueError), contextlib.closing(client):
            if self.context:
                client = self.context.wrap_socket(client, server_side=True)
            with contextlib.closing(client), client.makefile("rb") as reader:
                while self.one(client, reader):
                    pass

    def one(self, client, reader):
        line = reader.readline().decode()
        if not line:
            return False
        method, path, _ = line.split()
        headers = {}
        while (header := reader.readline().strip()):
            name, _, value = header.decode("latin-1").partition(":")
            headers[name] = value.strip()
        body = reader.read(int(headers.get("Content-Length", 0)))

        def answer():
            link = http.client.HTTPConnection(self.target)
            try:
                link.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
                for name, value in headers.items():
                    link.putheader(name, value)
                link.endheaders(body)
                response = link.getresponse()
                content = response.read()
                told = {k: v for k, v in response.getheaders() if k.lower() not in ("transfer-encoding", "connection")}
                if "content-length" not in map(str.lower, told) and response.status not in (204, 304):
                    told["Content-Length"] = str(len(content))
                return response.status, told, content
            finally:
                link.close()

        def send(status, told, content):
            head = b""
            if status:
                head = f"HTTP/1.1 {status} X\r\n" + "".join(f"{k}: {v}\r\n" for k, v in told.items()) + "\r\n"
                head = head.encode("latin-1")
            client.sendall(head + content)

        fault = None
        with self.lock:
            self.seen.append(f"{method} {path}")
            for candidate in self.faults:
                if candidate.left != 0 and candidate.match.search(f"{method} {path}"):
                    fault = candidate
                    fault.hits += 1
                    fault.left = None if fault.left is None else fault.left - 1
                    break
        if fault:
            fault.act(answer, send)
        else:
            send(*answer())
        return True


def make_certificate(folder, name="ca"):
    """A certificate for 127.0.0.1 and the authority that signed it: (certificate, key), authority."""
    ca_key, ca, key, request, certificate = (str(folder / f"{name}{end}") for end in
                                             ("-ca.key", "-ca.pem", ".key", ".csr", ".pem"))

    def openssl(*args):
        subprocess.run(["openssl", *args], check=True, capture_output=True)
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *new_key, "-keyout", ca_key, "-out", ca, "-days", "2", "-subj", f"/CN={name}")
    openssl("req", *new_key, "-keyout", key, "-out", request, "-subj", "/CN=127.0.0.1", "-addext",
            "subjectAltName=IP:127.0.0.1")
    openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-out", certificate, "-days", "2",
            "-copy_extensions", "copy")
    return (certificate, key), ca
