"""Predicts how a train step scales over `data`, on paper: prints the tables of README.md beside this file.

t(n) = compute / n + all-reduce(4 P),  one after the other, nothing overlapped
"""

# device: (name, FLOP/s in bf16, share of it reached, sizes, devices in a fast group, bytes/s in it, bytes/s
# beyond it, seconds per hop); bytes/s are what one device sends in one direction while it receives as many.
MACHINES = (
    ("v5e", 197e12, 0.3, (1, 4, 16, 64, 256), 256, 100e9, 100e9, 1e-6),
    ("H100", 989e12, 0.3, (1, 4, 8, 16, 64), 8, 450e9, 50e9, 5e-6),
)
P, T = 10.5e6, 512  # parameters, tokens of a sequence: the first row of the traffic's table
STRONG, WEAK = 2048, 64  # sequences of a step over all devices; per device


def ring(size, n, group, fast, slow, hop):
    """Seconds of a ring all-gather of `size` bytes: within the groups, and in parallel between them."""
    inner, outer = min(n, group), max(1, n // group)
    share = size / inner  # each device of a group passes its share on between the groups
    within = size * (inner - 1) / inner / fast + (inner - 1) * hop
    between = share * (outer - 1) / outer / slow + (outer - 1) * hop
    return within + between


def step(batch, n, flops, reached, *link):
    """(seconds of computing, seconds of sending) of a step of `batch` sequences on n devices."""
    computing = 6 * P * batch * T / (flops * reached) / n
    gradient = 2 * ring(4 * P, n, *link)  # a reduce-scatter and an all-gather
    return computing, gradient if n > 1 else 0.0


def main():
    for name, flops, reached, sizes, *link in MACHINES:
        print(f"\n| {name}, devices | strong: computing + sending, ms | efficiency | weak: ms | efficiency |")
        print("|--:|--:|--:|--:|--:|")
        for n in sizes:
            strong, weak = step(STRONG, n, flops, reached, *link), step(WEAK * n, n, flops, reached, *link)
            ideal = step(STRONG, 1, flops, reached, *link)[0] / n, step(WEAK, 1, flops, reached, *link)[0]
            cells = [
                f"{1e3 * times[0]:.1f} + {1e3 * times[1]:.1f} | {best / sum(times):.0%}"
                for times, best in zip((strong, weak), ideal)
            ]
            print(f"| {n} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
