"""A store in S3 beside boto3 and curl, all against one Garage that the measurement starts and stops. What goes up is new to
the server each time: it keeps equal blocks once."""
import os
import shutil
import sys

from running import ROOT

sys.path.insert(0, str(ROOT / "tests/system"))

SMALL, LARGE_BYTES = 2_000, 1 << 30
BLOCK = 1 << 16  # a fresh word in each makes all blocks of the server new


def freshen(path):
    word = os.urandom(16)
    with open(path, "r+b") as file:
        for at in range(0, LARGE_BYTES, BLOCK):
            file.seek(at)
            file.write(word)


def make_large(path):
    with open(path, "wb") as file:
        for _ in range(LARGE_BYTES >> 20):
            file.write(os.urandom(1 << 20))
    return path


def curl(bench, server, large, prefix):
    """One process for all small ones, so that it keeps its connection as the others do."""
    folder = bench.fresh()
    (folder / "small").write_bytes(os.urandom(1024))
    url = f"{server.url}/artifacts/{prefix}"
    (folder / "put").write_text("".join(f"upload-file=small\nurl={url}/{i}\noutput=/dev/null\n" for i in range(SMALL)))
    (folder / "get").write_text("".join(f"url={url}/{i}\noutput=/dev/null\n" for i in range(SMALL)))
    common = ["curl", "-sS", "-f", "--aws-sigv4", "aws:amz:garage:s3", "--user", f"{server.key}:{server.secret}",
              "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD"]

    def timed(*words):
        return bench.run([*common, *words], folder).wall_s
    bench.keep("s3 curl: small put", SMALL / timed("-K", "put"))
    bench.keep("s3 curl: small get", SMALL / timed("-K", "get"))
    bench.keep("s3 curl: large put", 1e-6 * LARGE_BYTES / timed("-T", large, f"{url}/large"))
    bench.keep("s3 curl: large get", 1e-6 * LARGE_BYTES / timed("-o", "back", f"{url}/large"))
    shutil.rmtree(folder)


def figures(bench, name, command, **environment):
    for figure, value in bench.run(command, bench.folder, **environment).figures.items():
        bench.keep(f"{name}: {figure}", value)


def s3(bench):
    from s3_server import BUCKET, Server, garage_program
    if not garage_program():
        bench.leave_out("Garage")
        return
    large = bench.once("large", make_large)
    server = Server(bench.fresh())
    try:
        settings = server.environment()
        settings.pop("AWS_CA_BUNDLE")  # boto3 takes an empty one for a file
        freshen(large)
        figures(bench, "s3", [bench.programs / "bench_s3", f"s3://{BUCKET}/ours", large, SMALL], **settings)
        freshen(large)
        figures(bench, "s3 boto3", [sys.executable, "-B", ROOT / "tests/bench/s3_peer.py", server.url, BUCKET, "boto3", large,
                                    SMALL], **settings)
        freshen(large)
        curl(bench, server, large, "curl")
    finally:
        server.stop()
        shutil.rmtree(server.folder)


STORING = {"s3": s3}
