"""The table: which sample stands in which line, beside which budget and which peers."""
import statistics

TIME, RATE, THROUGHPUT, MEMORY = "s", "/s", "MB/s", "bytes"
LESS_IS_BETTER = {TIME, MEMORY, "ms"}
FOOT = "* not within its budget. The last column: how many times as fast (or as small) as the peer or limit."


class Row:
    """`budget` is in the unit of the sample; `ratio` is a budget in terms of the first peer."""

    def __init__(self, what, sample, unit, *peers, budget=None, ratio=None):
        self.what, self.sample, self.unit, self.peers = what, sample, unit, peers
        self.budget, self.ratio = budget, ratio


def cost_rows(of, name):
    """What the broker spends and how long it is deaf."""
    return [
        Row(f"broker's processor time {of}, a task", f"{name}, cpu", TIME, budget=2e-6),
        Row("of it the loop's thread", f"{name}, cpu of the loop's thread", TIME),
        Row("of it the others: index, sockets", f"{name}, cpu of other threads", TIME),
        Row(f"worst beat of the loop {of}", f"{name}, worst beat", TIME, budget=0.010),
        Row("worst step of the scheduler alone", f"{name}, worst step", TIME, budget=0.010)]


def graph_rows(what, name, *peers):
    return [Row(f"{what}: wall", f"{name}, wall", RATE, *peers, budget=150_000),
            Row("the same: the run's own seconds", f"{name}, run", RATE, budget=150_000),
            Row("the same: from submission to its end", f"{name}, from submit", RATE, budget=150_000)]


def worker_rows(count):
    name = f"workers {count}"
    return [Row(f"1,000,000 tasks, {count:,} simulated workers: wall", f"{name}, wall", RATE, budget=200_000),
            Row("the same: first TASKS to last ACK", f"{name}: first TASKS to last ACK", RATE, budget=200_000),
            *cost_rows(f"with {count:,} workers", name)]


def s3_rows(what, name, unit, *limits):
    return Row(what, f"s3: {name}", unit, ("boto3", f"s3 boto3: {name}"), ("curl", f"s3 curl: {name}"), *limits, ratio=0.9)


def keyed_rows():
    """Encrypted, each peer's key proved and looked up; the least connections cost."""
    name = "workers 1000 with keys"
    return [Row("1,000,000 tasks, 1,000 simulated workers over CURVE: wall", f"{name}, wall", RATE, budget=100_000),
            Row("the same: first TASKS to last ACK", f"{name}: first TASKS to last ACK", RATE, budget=100_000),
            *cost_rows("with 1,000 workers over CURVE", name),
            Row("1,000 workers join over CURVE at once: all welcome", f"{name}: all welcome", TIME, budget=15),
            Row("10,000 workers: all welcome", "workers 10000 with keys: all welcome", TIME, budget=15)]


ROWS = [
    Row("iris, the whole run, in a fresh folder", "iris cold", TIME,
        ("scikit-learn and XGBoost in one Python process", "iris_python"),
        ("limit: its tasks' own time on two slots", "iris tasks"), budget=0.150),
    Row("iris again, all hits", "iris again", TIME,
        ("GNU make, 26 targets up to date", "iris_make"),
        ("ninja, 26 targets up to date", "iris_ninja"),
        ("limit: starting `true`", "process start"), budget=0.015),
    Row("100,000 no-op tasks, durable: wall", "sleep 100000, wall", RATE,
        ("GNU make, 100,000 recipes `:`, nothing kept", "make nothing"), budget=200_000),
    Row("the same: the run's own seconds", "sleep 100000, run", RATE, budget=200_000),
    Row("1,000,000 no-op tasks, durable: wall", "sleep 1000000, wall", RATE,
        ("Python's Pool(2), chunks of 500, nothing kept", "pool"),
        ("limit: the broker with a worker that only answers", "bench_loop: run"),
        ("limit: the state alone, its index left behind", "bench_state: commit"),
        ("Dask distributed, 10,000 no-ops, nothing kept", "dask: no-op"),
        ("Celery with Redis, 10,000 no-ops, no AOF", "celery: no-op"),
        ("HyperQueue, 10,000 no-ops, nothing kept", "hyperqueue: no-op"), budget=400_000),
    Row("the same: the run's own seconds", "sleep 1000000, run", RATE, budget=400_000),
    Row("the same: from submission to its end", "sleep 1000000, from submit", RATE, budget=400_000),
    *cost_rows("of 1,000,000 no-op tasks", "sleep 1000000"),
    Row("1,000,000 tasks again, all hits", "million again", TIME,
        ("limit: looking them up in the state alone", "bench_state: look up, all there"),
        ("ninja, 1,000,000 targets up to date", "ninja million"), budget=2.0),
    Row("the same, a task", "million again, a task", TIME,
        ("ninja, 1,000,000 targets up to date, a target", "ninja million, a task"),
        ("ninja, 100,000 targets up to date, a target", "ninja_up_to_date, a task"),
        ("GNU make, the same", "make_up_to_date, a task"), ratio=1),
    *graph_rows("merge-100K: 100,000 tasks and a join", "merge", ("Dask distributed, 5,000 and a join", "dask: merge")),
    *cost_rows("of merge-100K", "merge"),
    *graph_rows("tree-15: 32,767 tasks", "tree", ("Dask distributed, tree-12", "dask: tree")),
    *graph_rows("groupby-1440: 182,682 tasks, 251,801 dependencies", "groupby"),
    Row("chain of 10,000 no-op tasks, a link", "chain 10000, a link", TIME,
        ("Dask distributed, 500 links", "dask: chain, a link"), budget=200e-6),
    Row("the same: from submission to its end", "chain 10000, a link from submit", TIME, budget=200e-6),
    Row("1,000,000 no-op tasks, Redis beside: wall", "redis million, wall", RATE,
        ("limit: redis-benchmark, SET, 500 ahead", "redis-benchmark"), budget=200_000),
    Row("the same: the run's own seconds", "redis million, run", RATE, budget=200_000),
    Row("the same: from submission to its end", "redis million, from submit", RATE, budget=200_000),
    *cost_rows("with Redis beside", "redis million"),
    Row("1,000,000 tasks again, all hits in Redis", "redis million again", TIME, budget=2.0),
    Row("recover of 1,000,000 records into an empty Redis", "redis recover", TIME, budget=60),
    Row("chain of 10,000 with Redis beside, a link", "redis chain, a link", TIME, budget=250e-6),
    Row("the same: from submission to its end", "redis chain, a link from submit", TIME, budget=250e-6),
    Row("a broker with 100,000 open tasks is started again", "restart", TIME, budget=2.0),
    *worker_rows(100),
    *worker_rows(1000),
    *keyed_rows(),
    Row("gc over 1,000,000 records: what runs reach", "bench_care: gc, mark", TIME, budget=15),
    Row("the same: what is named, and is it there (in memory)", "bench_care: gc, sweep", TIME, budget=15),
    Row("fsck of 1,000,000 records, presence (in memory)", "bench_care: fsck, presence", TIME, budget=15),
    Row("expansion and ids of 1,000,000 tasks", "bench_expand: independent, expand", TIME,
        ("limit: hashing their specifications alone", "bench_expand: independent, hash alone"), budget=1.5),
    Row("the same, 500,000 pairs with an edge", "bench_expand: linked, expand", TIME,
        ("limit: hashing their specifications alone", "bench_expand: linked, hash alone"), budget=1.5),
    Row("CSV: fields", "bench_csv: csv_next", THROUGHPUT,
        ("Python's csv module", "csv, python"),
        ("limit: finding line breaks", "bench_csv: line breaks alone"), budget=300),
    Row("CSV: a table", "bench_csv: table_read", THROUGHPUT, ("Python's csv module", "csv, python"), budget=300),
    Row("CSV: a table, every cell a number", "bench_csv: table_read and to numbers", THROUGHPUT,
        ("numpy.loadtxt", "csv, numpy")),
    Row("hashing a file", "bench_hash: file", THROUGHPUT,
        ("limit: libsodium over memory", "bench_hash: memory"),
        ("b2sum -l 256", "b2sum"), ratio=0.9),
    Row("hashing it while it is stored", "bench_hash: file into a folder store", THROUGHPUT,
        ("limit: libsodium over memory", "bench_hash: memory")),
    s3_rows("S3 (Garage): put of 1 KiB × 2,000", "small put", RATE),
    s3_rows("S3 (Garage): get of 1 KiB × 2,000", "small get", RATE),
    Row("S3 (Garage): are 2,000 there", "s3: small has", RATE),
    s3_rows("S3 (Garage): put of 1 GiB, hashed before", "large put", THROUGHPUT),
    Row("the same less its hash", "s3: large put less its hash", THROUGHPUT),
    s3_rows("S3 (Garage): get of 1 GiB, hashed as it comes", "large get", THROUGHPUT),
    Row("broker's peak memory a task, 1,000,000", "memory", MEMORY,
        ("limit: the expanded graph alone", "bench_expand: independent, graph"), budget=250),
    Row("of it not the index's file", "memory, own", MEMORY),
    Row("the same again, all hits", "memory again", MEMORY, budget=250),
    Row("chain of 1,000 `exec true`, a link", "chain", TIME,
        ("GNU make, the same chain", "make_chain, a link"),
        ("ninja, the same chain", "ninja_chain, a link"),
        ("limit: posix_spawn and wait in C", "spawn 1, each")),
    Row("2,000 `exec true`, two at once", "processes", RATE,
        ("limit: posix_spawn and wait in C, two at once", "spawn 2"),
        ("GNU make -j2", "make_processes, rate"),
        ("ninja -j2", "ninja_processes, rate"),
        ("GNU parallel -j2", "parallel_processes, rate"),
        ("HyperQueue, 2 cpus", "hyperqueue"), ratio=0.8),
    Row("worst beat, a worker that only answers", "bench_loop: worst beat", "ms", budget=10),
]


def show(value, unit):
    if unit == TIME:
        scale, name = next(((s, n) for s, n in ((1, "s"), (1e-3, "ms"), (1e-6, "µs")) if value >= s), (1e-6, "µs"))
        return f"{value / scale:.3g} {name}"
    digits = 0 if abs(value) >= 100 else 1
    return f"{value:,.{digits}f} {unit}" if unit != RATE else f"{value:,.0f}/s"


def show_ratio(ratio):
    return "" if ratio is None else f"{ratio:.2f}"


def budget_of(row):
    """Its text, and whether the measured value and ratio keep it."""
    if row.ratio:
        return f"≥ {row.ratio:g} × the first", lambda value, ratio: ratio is None or ratio >= row.ratio
    if row.budget is None:
        return "", lambda value, ratio: True
    if row.unit in LESS_IS_BETTER:
        return f"< {show(row.budget, row.unit)}", lambda value, ratio: value < row.budget
    return f"≥ {show(row.budget, row.unit)}", lambda value, ratio: value >= row.budget


def lines_of(row, samples):
    value = statistics.median(samples[row.sample])
    compared = []
    for name, sample in row.peers:
        if samples.get(sample):
            peer = statistics.median(samples[sample])
            ratio = peer / value if row.unit in LESS_IS_BETTER else value / peer
            compared.append((f"{name}: {show(peer, row.unit)}", ratio))
    text, keeps = budget_of(row)
    mark = "  " if keeps(value, compared[0][1] if compared else None) else " *"
    first, *rest = compared or [("", None)]
    yield [row.what, show(value, row.unit) + mark, text, first[0], show_ratio(first[1])]
    for name, ratio in rest:
        yield ["", "", "", name, show_ratio(ratio)]


def table(rows, samples):
    lines = [["what", "median  ", "budget", "peer or limit in the same run", "× its speed"], None]
    for row in rows:
        if samples.get(row.sample):
            lines += lines_of(row, samples)
    widths = [max(len(line[i]) for line in lines if line) for i in range(5)]
    shown = [" | ".join(cell.rjust(width) if i in (1, 4) else cell.ljust(width)
                        for i, (cell, width) in enumerate(zip(line, widths))).rstrip() if line else
             "-|-".join("-" * width for width in widths) for line in lines]
    return "\n".join([*shown, FOOT])
