"""An S3 server of the tests' own: Garage where its program is there (docker/garage.sh makes it), else moto from PyPI, which
checks no signatures. On free loopback ports, in a folder of its own, stopped by its pid."""
import os
import pathlib
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import boto3
import botocore.config

BUCKET, REGION = "artifacts", "garage"


def garage_program():
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    made = cache / "penstock/garage/bin/garage"
    return str(made) if os.access(made, os.X_OK) else shutil.which("garage")


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


CONFIG = """metadata_dir = "{folder}/meta"
data_dir = "{folder}/data"
db_engine = "sqlite"
replication_factor = 1
rpc_bind_addr = "127.0.0.1:{rpc}"
rpc_public_addr = "127.0.0.1:{rpc}"
rpc_secret = "{secret}"
[s3_api]
s3_region = "{region}"
root_domain = ".localhost"
api_bind_addr = "127.0.0.1:{s3}"
[admin]
api_bind_addr = "127.0.0.1:{admin}"
admin_token = "{secret}"
"""


class Server:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.program = garage_program()
        self.name = "garage" if self.program else "moto"
        self.key, self.secret = "GK" + secrets.token_hex(12), secrets.token_hex(32)
        self.port, self.rpc, self.admin = free_ports(3)
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None
        self.start()
        if self.name == "moto":
            print("the S3 tests run against moto: there is neither Garage nor cargo to make it", file=sys.stderr)
            self.client().create_bucket(Bucket=BUCKET)

    def start(self):
        if self.program:
            config = self.folder / "garage.toml"
            config.write_text(CONFIG.format(folder=self.folder, rpc=self.rpc, s3=self.port, admin=self.admin,
                                            secret=secrets.token_hex(32), region=REGION))
            config.chmod(0o600)
            command = [self.program, "-c", str(config), "server", "--single-node", "--default-bucket"]
        else:
            command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        environment = {**os.environ, "GARAGE_DEFAULT_ACCESS_KEY": self.key, "GARAGE_DEFAULT_SECRET_KEY": self.secret,
                       "GARAGE_DEFAULT_BUCKET": BUCKET, "RUST_LOG": "garage=warn"}
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        ready = f"http://127.0.0.1:{self.admin}/health" if self.program else f"{self.url}/moto-api/"
        for _ in range(600):
            try:
                urllib.request.urlopen(ready, timeout=5).close()
                return
            except OSError:
                assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
                time.sleep(0.05)
        raise AssertionError("the S3 server does not begin: " + (self.folder / "log").read_text()[-2000:])

    def stop(self, how=signal.SIGKILL):
        if self.process:
            self.process.send_signal(how)
            self.process.wait()
            self.process = None

    def environment(self, **more):
        """What a program needs to use it; AWS settings of the machine play no part."""
        return {"AWS_ENDPOINT_URL_S3": self.url, "AWS_REGION": REGION, "AWS_ACCESS_KEY_ID": self.key,
                "AWS_SECRET_ACCESS_KEY": self.secret, "AWS_EC2_METADATA_DISABLED": "true",
                "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_CONFIG_FILE": "/dev/null", "AWS_CA_BUNDLE": "",
                **({} if self.program else {"AWS_REGION": "us-east-1"}), **more}

    def client(self, **settings):
        return boto3.client("s3", endpoint_url=self.url, region_name=REGION if self.program else "us-east-1",
                            aws_access_key_id=self.key, aws_secret_access_key=self.secret,
                            config=botocore.config.Config(s3={"addressing_style": "path"}, **settings))

    def keys(self, prefix=""):
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]
