"""What bench_s3 does, by boto3 as one would use it: `s3_peer.py ENDPOINT BUCKET PREFIX FILE COUNT`; keys from the environment.
Prints the same figures."""
import os
import sys
import time

import boto3
from botocore.config import Config


def report(name, value, unit):
    print(f"{name:32} {value:14.3f} {unit}")


def main(endpoint, bucket, prefix, path, count):
    count = int(count)
    client = boto3.client("s3", endpoint_url=endpoint, config=Config(s3={"addressing_style": "path"}))
    body = os.urandom(1020)
    begun = time.perf_counter()
    for i in range(count):
        client.put_object(Bucket=bucket, Key=f"{prefix}/{i}", Body=i.to_bytes(4, "little") + body)
    report("small put", count / (time.perf_counter() - begun), "/s")
    begun = time.perf_counter()
    for i in range(count):
        client.get_object(Bucket=bucket, Key=f"{prefix}/{i}")["Body"].read()
    report("small get", count / (time.perf_counter() - begun), "/s")
    size = os.path.getsize(path)
    begun = time.perf_counter()
    client.upload_file(path, bucket, f"{prefix}/large")
    report("large put", 1e-6 * size / (time.perf_counter() - begun), "MB/s")
    begun = time.perf_counter()
    client.download_file(bucket, f"{prefix}/large", f"{path}.back")
    report("large get", 1e-6 * size / (time.perf_counter() - begun), "MB/s")
    os.unlink(f"{path}.back")


main(*sys.argv[1:])
