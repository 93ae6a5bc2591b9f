"""The worker of tests/system/foreign_worker.py, on a network that delivers twice and late: every RESULTS frame is sent two
times, and old ones come again. The same arguments."""
import pathlib
import random
import runpy

import zmq

RESULTS = 6
send, kept = zmq.Socket.send, []


def send_again(socket, data, *args, **options):
    sent = send(socket, data, *args, **options)
    if len(data) > 1 and data[1] == RESULTS:
        kept.append(bytes(data))
        for frame in [data, random.choice(kept)]:
            send(socket, frame, *args, **options)
    return sent


zmq.Socket.send = send_again
runpy.run_path(str(pathlib.Path(__file__).resolve().parents[1] / "system/foreign_worker.py"), run_name="__main__")
