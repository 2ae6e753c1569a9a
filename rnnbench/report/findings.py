"""What the figures say, in sentences computed from the entries."""

from collections.abc import Sequence

from rnnbench.report.summary import Group, groups, kinds, longest, skill

HOLDS = 0.9  # of the way from chance to 1
NEAR_CHANCE = 0.1
MATTERS = 0.5  # a difference between learning rates worth a sentence, on the same scale


def findings(entries: Sequence[dict]) -> list[tuple[str, list[str]]]:
    """(task and setting, sentences) per group of comparable entries."""
    found = []
    for group in groups(entries):
        sentences = [s for kind, lines in kinds(group) for s in _at_the_longest(group, kind, lines)]
        found.append((f"{group.title}, protocol {group.protocol}", sentences + _learning_rates(group)))
    return found


def scale() -> str:
    """What the words of the sentences mean."""
    return (
        f"A model holds a length, or learns one, if its median over seeds covers at least {HOLDS:.0%} of the "
        f"way from chance to 1 there; up to {NEAR_CHANCE:.0%} counts as chance."
    )


def _at_the_longest(group: Group, kind: str, lines: list) -> list[str]:
    trained = longest(group.train_case)
    furthest = max(length for _, line in lines for length, _ in line)
    holders, fallen, partly, chance, wild = [], [], [], [], []
    for entry, line in lines:
        at_training, (length, last) = _nearest(line, trained), line[-1]
        now, then = skill(last), skill(at_training)
        shown = f"{entry['label']} ({_number(last['median'])} at length {length})"
        if at_training is not last:
            shown = f"{shown[:-1]}, {_number(at_training['median'])} at {longest(at_training['case'])})"
        if now is None:
            wild.append(entry["label"])
        elif now >= HOLDS and length == furthest:
            holders.append(entry)
        elif then is not None and then >= HOLDS and length > trained:
            fallen.append(shown)
        elif now > NEAR_CHANCE or (then is not None and then > NEAR_CHANCE):
            partly.append(shown)
        else:
            chance.append(entry["label"])
    where = f"length {furthest}"
    if furthest != trained:
        where += f", {furthest / trained:.3g} times the longest in training"
    if kind:
        where += f" ({kind})"
    sentences = []
    if holders:
        sentences.append(f"Up to {where}: {_names([e['label'] for e in holders])} {_s(holders, 'hold')}.")
        if len(holders) > 1:
            quick = min(holders, key=lambda e: e["train_seconds"])["label"]
            small = min(holders, key=lambda e: e["state_size"])["label"]
            both = f"{quick} trains fastest and {small} carries the smallest state"
            same = f"{quick} trains fastest and carries the smallest state"
            sentences.append(f"Among these {same if quick == small else both}.")
    else:
        sentences.append(f"No model holds up to {where}.")
    if fallen:
        sentences.append(f"Learned, but not held beyond the lengths of training: {_names(fallen)}.")
    if partly:
        sentences.append(f"Learned in part: {_names(partly)}.")
    if chance:
        sentences.append(f"At chance in and beyond training: {_names(chance)}.")
    if wild:
        sentences.append(f"Diverged: {_names(wild)}.")
    return sentences


def _nearest(line: list[tuple[int, dict]], trained: int) -> dict:
    """The case of this kind nearest to the training length."""
    return min(line, key=lambda point: abs(point[0] - trained))[1]


def _learning_rates(group: Group) -> list[str]:
    decided = []
    for entry in group.entries:
        skills = {rate: skill(spread) for rate, spread in entry["learning_rates"].items()}
        known = {rate: value for rate, value in skills.items() if value is not None}
        if not known:
            continue
        best, worst = max(known, key=known.get), min(skills, key=lambda r: known.get(r, -1.0))
        if skills[worst] is None or skills[best] - skills[worst] >= MATTERS:
            rates = entry["learning_rates"]
            shown = (f"{_number(rates[rate]['median'])} at {rate:g}" for rate in (best, worst))
            decided.append(f"{entry['label']} ({', '.join(shown)})")
    return [f"The learning rate decides for {_names(decided)}."] if decided else []


def _number(value: float | None) -> str:
    return "diverged" if value is None else f"{value:.3f}"


def _names(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _s(several: Sequence, verb: str) -> str:
    return verb if len(several) > 1 else f"{verb}s"
