"""Graphs of no-op tasks in the shapes that others measure schedulers with, as pipelines. Where the counts come from:
S. Böhm, J. Beránek, "Runtime vs Scheduler: Analyzing Dask's Overheads" (WORKS 2020), table 1.

Every task has parameters of its own: with equal ones the second would have the first's result, since all inputs are
the same empty bytes."""

TREE_LEVELS = 15
PARTITIONS = {"a": 540, "b": 8, "c": 8}  # 34,560: 1,440 days, an hour each
SPLIT = 8                                # what Dask's tree reductions join at a time


class Graph:
    """Lines of a pipeline, and how many tasks and dependencies they make."""

    def __init__(self):
        self.lines, self.tasks, self.edges = [], 0, 0

    def step(self, name, axes, inputs, count, fan_in=1):
        """`axes`: of the matrix, by name; `count` tasks, each with `fan_in` dependencies an input."""
        matrix = ", ".join(f"{axis}: {values}" for axis, values in axes.items())
        given = ", ".join(f"x{i}: {step}.done" for i, step in enumerate(inputs))
        tag = "t" + " ".join(f"${{matrix.{axis}}}" for axis in axes)
        self.lines.append(f"  {name}: {{kind: sleep, " + (f"matrix: {{{matrix}}}, " if matrix else "") +
                          (f"inputs: {{{given}}}, " if given else "") +
                          f"outputs: [done], params: {{index: {len(self.lines)}, tag: \"{tag}\"}}}}")
        self.tasks += count
        self.edges += count * len(inputs) * fan_in


def ranges(axes):
    return {axis: f"{{range: [0, {count}]}}" for axis, count in axes.items()}


def chain(links):
    graph = Graph()
    for i in range(links):
        graph.step(f"s{i}", {}, [f"s{i - 1}"] if i else [], 1)
    return graph


def merge(count):
    """merge-100K with 100,000: independent tasks, and one that waits for all."""
    graph = Graph()
    graph.step("many", ranges({"i": count}), [], count)
    graph.step("join", {}, ["many"], 1, count)
    return graph


def tree():
    """tree-15: a binary reduction in 15 levels. A task's place in its level is written in binary, a digit an axis; the
    level above lacks the last one, so it gathers pairs."""
    graph = Graph()
    for level in reversed(range(TREE_LEVELS)):
        below = [f"level{level + 1}"] if level < TREE_LEVELS - 1 else []
        graph.step(f"level{level}", {f"b{i}": "[0, 1]" for i in range(level)}, below, 1 << level, 2)
    return graph


def reduce_by_eights(graph, of):
    """34,560 → 4,320 → 540 → 68 → 9 → 2 → 1: 4,940 tasks with 39,499 dependencies. The third level's eights are no
    whole number, so from there on each task is a step. Returns the last."""
    axes = ranges(PARTITIONS)
    graph.step(f"{of}1", {"a": axes["a"], "b": axes["b"]}, [of], 4320, SPLIT)
    names = []
    for first in range(0, PARTITIONS["a"], SPLIT):
        last = min(first + SPLIT, PARTITIONS["a"])
        part, joined = f"{of}2_{first}", f"{of}3_{first}"
        graph.step(part, {"a": f"{{range: [{first}, {last}]}}"}, [f"{of}1"], last - first, SPLIT)
        graph.step(joined, {}, [part], 1, last - first)
        names.append(joined)
    level = 4
    while len(names) > 1:
        parts = [names[i:i + SPLIT] for i in range(0, len(names), SPLIT)]
        names = [f"{of}{level}_{i}" for i in range(len(parts))]
        for name, part in zip(names, parts):
            graph.step(name, {}, part, 1)
        level += 1
    return names[0]


def groupby():
    """groupby-1440: the mean by a key of a table of 34,560 partitions. Of each partition five tasks: read it, take the
    key's column and the value's, sum the values by key, count the keys; then two reductions and what joins them:
    5 × 34,560 + 2 × 4,940 + 2 = 182,682 tasks, 5 × 34,560 + 2 × 39,499 + 3 = 251,801 dependencies."""
    graph, count = Graph(), PARTITIONS["a"] * PARTITIONS["b"] * PARTITIONS["c"]
    for name, inputs in (("read", []), ("key", ["read"]), ("value", ["read"]), ("sum", ["key", "value"]),
                         ("count", ["key"])):
        graph.step(name, ranges(PARTITIONS), inputs, count)
    graph.step("mean", {}, [reduce_by_eights(graph, "sum"), reduce_by_eights(graph, "count")], 1)
    graph.step("last", {}, ["mean"], 1)
    return graph
