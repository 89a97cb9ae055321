"""Servers for the tests of remote sources: an HTTP server with faults, and S3 played by moto."""

import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import urlopen


class Web:
    """Files by path, what was asked for, and what to do wrong: path -> the next so many answers."""

    def __init__(self, files):
        self.files, self.asked, self.broken, self.cut = dict(files), [], {}, {}
        self.ranges = True
        self.held = self.most = 0
        self.lock = threading.Lock()

    def count(self, path, method="GET"):
        return self.asked.count((method, path))

    def spends(self, faults, path):
        with self.lock:
            faults[path] = faults.get(path, 0) - 1
            return faults[path] >= 0


@contextmanager
def web_of(files):
    web = Web(files)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.answer(body=True)

        def do_HEAD(self):
            self.answer(body=False)

        def answer(self, body):
            path = self.path.lstrip("/")
            web.asked.append((self.command, path))
            content = web.files.get(path)
            if content is None or web.spends(web.broken, path):
                self.send_response(404 if content is None else 503)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            span = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")) if web.ranges else None
            part = content[int(span[1]) : int(span[2] or len(content)) + 1] if span else content
            self.send_response(206 if span else 200)
            self.send_header("Content-Length", str(len(part)))
            if web.ranges:
                self.send_header("Accept-Ranges", "bytes")
            if span:
                self.send_header("Content-Range", f"bytes {span[1]}-{int(span[1]) + len(part) - 1}/{len(content)}")
            self.end_headers()
            if body and web.spends(web.cut, path):
                self.wfile.write(part[: len(part) // 2])
                self.close_connection = True
            elif body:
                self.wfile.write(part)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    web.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def s3(monkeypatch, bucket):
    """The address of a bucket at an S3 server; s3fs and this process's children find it by the environment."""
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    urlopen(f"http://{host}:{port}/moto-api/reset", b"").close()  # its state is the process's
    s3fs.S3FileSystem.clear_instance_cache()
    try:
        s3fs.S3FileSystem().mkdir(bucket)
        yield f"s3://{bucket}"
    finally:
        server.stop()
        s3fs.S3FileSystem.clear_instance_cache()
