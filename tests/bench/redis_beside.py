"""With completions in a Redis beside: its append-only file synced every second, every completion written before it is
reported, the journal in a folder. Beside it, what the server alone takes."""
import contextlib
import shutil

import graphs
from measurements import MILLION, keep_costs, sleep_pipeline, write_pipeline
from queues import wait_for
from running import Failure

CHAIN_LINKS = 10_000
SET_BYTES, SETS_AHEAD = 175, 500  # about what a record and its head are; as many as in one of our frames


@contextlib.contextmanager
def server(bench, folder):
    socket = folder / "redis.sock"
    command = ["redis-server", "--port", "0", "--unixsocket", socket, "--dir", folder, "--save", "", "--appendonly", "yes",
               "--appendfsync", "everysec", "--logfile", folder / "redis.log"]
    with bench.background(command, folder):
        wait_for("redis-server", socket.exists)
        yield socket


def beside(bench, pipeline, folder, socket, **expected):
    return bench.run_pipeline(pipeline, folder, log="info", options=["-j2", "--state", f"redis+unix://{socket}"], **expected)


def set_alone(bench, folder, socket):
    ran = bench.run(["redis-benchmark", "-s", socket, "-t", "set", "-n", MILLION, "-r", MILLION, "-d", SET_BYTES, "-P", SETS_AHEAD,
                     "-c", 1, "--csv"], folder)
    rates = [float(line.split(",")[1].strip('"')) for line in ran.out.splitlines() if line.startswith('"SET')]
    if not rates:
        raise Failure(f"redis-benchmark: {ran.out}")
    bench.keep("redis-benchmark", rates[0])


def redis(bench):
    if not shutil.which("redis-server"):
        bench.leave_out("Redis")
        return
    folder = bench.fresh()
    with server(bench, folder) as socket:
        ran = beside(bench, sleep_pipeline(bench, MILLION), folder, socket, total=MILLION, executed=MILLION)
        bench.keep("redis million, wall", MILLION / ran.wall_s)
        bench.keep("redis million, run", MILLION / ran.json["seconds"])
        keep_costs(bench, "redis million", ran, MILLION)
        again = beside(bench, sleep_pipeline(bench, MILLION), folder, socket, total=MILLION, hit=MILLION)
        bench.keep("redis million again", again.wall_s)
        bench.run(["redis-cli", "-s", socket, "FLUSHALL"], folder)
        ran = bench.run([bench.broker, "recover", "--json", "--state", f"redis+unix://{socket}"], folder)
        if ran.json["records"] != MILLION:
            raise Failure(f"recover: {ran.out}")
        bench.keep("redis recover", ran.wall_s)
    shutil.rmtree(folder)
    folder = bench.fresh()
    with server(bench, folder) as socket:
        ran = beside(bench, write_pipeline(bench, "redis-chain", graphs.chain(CHAIN_LINKS).lines), folder, socket,
                     total=CHAIN_LINKS, executed=CHAIN_LINKS)
        bench.keep("redis chain, a link", ran.wall_s / CHAIN_LINKS)
        bench.keep("redis chain, a link from submit", 1e-6 * ran.events["loop.stats"]["run_us"] / CHAIN_LINKS)
        set_alone(bench, folder, socket)
    shutil.rmtree(folder)


REDIS = {"redis": redis}
