"""The answers of the newer tasks, worked out from the names of tokens; None where nothing is asked."""

import re
from functools import cache


@cache
def cycles(name):
    """ "(12)(34)" as a function of points."""
    moves = {}
    for cycle in re.findall(r"\((\d+)\)", name):
        moves |= dict(zip(cycle, cycle[1:] + cycle[0]))
    return lambda point: moves.get(point, point)


@cache
def named(names):
    """{where the points 1 … 5 go: the name of that permutation}."""
    return {tuple(map(cycles(name), "12345")): name for name in names}


def group_product(task, words):
    """Where the points 1 … 5 are, or the turns and flips of a polygon, or the sum."""
    kind, n = task.group[0], int(task.group[1:])
    if kind == "Z":
        total = 0
        for word in words:
            total = (total + int(word)) % n
            yield str(total)
    elif kind == "D":
        corners = list(range(n))  # where each corner is now
        for word in words:
            turns = re.fullmatch(r"(?:r(\d*))?s?", word) if word != "e" else None
            turn = int(turns[1] or 1) if turns and turns[1] is not None else 0
            corners = [(corner + turn) % n for corner in corners]
            if word.endswith("s"):
                corners = [-corner % n for corner in corners]
            flipped = (corners[1] - corners[0]) % n != 1
            turn = -corners[0] % n if flipped else corners[0]
            yield (
                ("e", "r")[turn]
                if turn < 2 and not flipped
                else (("", "r")[turn] if turn < 2 else f"r{turn}") + "s" * flipped
            )
    else:
        where = tuple("12345")
        for word in words:
            where = tuple(map(cycles(word), where))
            yield named(task.class_names)[where]


def automaton(task, words):
    state = 0
    for word in words:
        state = int(task.table["abcdefgh".index(word)][state])
        yield str(state)


def supervised(task, answers):
    answers = list(answers)
    return [None] * (len(answers) - 1) + answers[-1:] if task.supervision == "last" else answers


def flip_flop(words):
    bit, answers = None, []
    assert words[0] == "w" and words[-2] == "r"
    for instruction, following in zip(words[::2], words[1::2]):
        if instruction == "w":
            bit = following
        if instruction == "r":
            assert following == bit
        answers += [bit if instruction == "r" else None, None]
    return answers


def value_so_far(words):
    """Of an expression whose operands are complete, from the innermost bracket that is open."""
    text, depth = "", 0
    for word in reversed(words):
        depth += {")": 1, "(": -1}.get(word, 0)
        if depth < 0:
            break
        text = word + text
    return eval(text)


def modular_arithmetic(task, words):
    answers = []
    for t, word in enumerate(words):
        ends = word.isdigit() or word == ")"
        answers.append(str(value_so_far(words[: t + 1]) % task.modulus) if ends else None)
    assert answers[-1] is not None
    return [None] * (len(words) - 1) + answers[-1:] if task.supervision == "last" else answers


def asked_after(words, delimiter, answer, shown):
    """The answer starts at the delimiter; the inputs after it are the answers so far, or filler."""
    size = words.index(delimiter) + 1
    found = answer(words[: size - 1])
    rest = found[:-1] if shown else ["_"] * (len(found) - 1)
    assert words[size:] == [*rest, *["_"] * (len(words) - size - len(rest))], words
    return [*[None] * (size - 1), *found, *[None] * (len(words) - size - len(rest))]


def added(task, words):
    a, b = " ".join(words).split("+")
    a, b = ([*map(int, number.split())] for number in (a, b))
    little = task.order == "little"
    value = lambda digits: sum(d * task.base**i for i, d in enumerate(digits if little else digits[::-1]))
    total, digits = value(a) + value(b), []
    assert len(a) == len(b)
    for _ in range(len(a) + 1):
        digits.append(str(total % task.base))
        total //= task.base
    return digits if little else digits[::-1]


def induction(task, words):
    answers = []
    for t, word in enumerate(words):
        before = [s for s in range(t) if words[s] == word]
        answers.append(words[before[-1] + 1] if before else None)
    return answers if task.supervision == "every" else [None] * (len(words) - 1) + answers[-1:]


def noisy_recall(words):
    """A letter is a key, the number after it its value, ~ is noise."""
    bound, answers = {}, []
    for word, following in zip(words, [*words[1:], None]):
        answers.append(bound.get(word))
        if word.isalpha() and following not in (None, "_"):
            assert following.isdigit() and bound.get(word, following) == following
            bound[word] = following
    return answers


def fuzzy_recall(words):
    """A key is letters in a row, its value the numbers after it."""
    answers = [None] * len(words)
    bound, t = {}, 0
    while t < len(words) and words[t] != "_":
        start = t
        while t < len(words) and words[t].isalpha():
            t += 1
        key = "".join(words[start:t])
        first = t
        while t < len(words) and words[t].isdigit():
            t += 1
        value, cut = words[first:t], t == len(words) or words[t] == "_"
        if key in bound and value:  # a key that is cut off may be the start of a longer one
            assert value == bound[key][: len(value)] and (cut or value == bound[key])
            for place, answer in enumerate(bound[key]):
                if first - 1 + place < t:
                    answers[first - 1 + place] = answer
        bound.setdefault(key, value)
    return answers


def counting(task, words):
    """The symbols that may follow, by the grammar."""
    answers = []
    for t in range(1, len(words) + 1):
        seen = words[:t]
        count = {symbol: seen.count(symbol) for symbol in "abc([{)]}"}
        if task.words == "shuffle":
            kinds = range(task.num_types)
            closing = "".join(")]}"[i] for i in kinds if count["([{"[i]] > count[")]}"[i]])
            assert all(count["([{"[i]] >= count[")]}"[i]] for i in kinds)
            answers.append("([{"[: task.num_types] + (closing or "$"))
        elif seen[-1] == "a":
            answers.append("ab")
        elif task.words == "anbn" or seen[-1] == "c":
            following = "b" if task.words == "anbn" else "c"
            answers.append("$" if count[following] == count["a"] else following)
        else:
            answers.append("c" if count["b"] == count["a"] else "b")
    return answers


def answer(task, words):
    """The names of the targets of a sequence, given as the names of its tokens."""
    name = type(task).__name__
    if name == "GroupWord":
        return supervised(task, group_product(task, words))
    if name == "Automaton":
        return supervised(task, automaton(task, words))
    if name == "FlipFlop":
        return flip_flop(words)
    if name in ("ModularArithmetic", "Induction", "Counting"):
        return {"ModularArithmetic": modular_arithmetic, "Induction": induction, "Counting": counting}[name](
            task, words
        )
    if name in ("NoisyRecall", "FuzzyRecall"):
        return {"NoisyRecall": noisy_recall, "FuzzyRecall": fuzzy_recall}[name](words)
    if name == "Addition":
        return asked_after(words, "=", lambda prompt: added(task, prompt), task.answers == "shown")
    rule = {
        "Copy": list,
        "Reverse": lambda string: string[::-1],
        "Sort": sorted,
        "SelectiveCopy": lambda string: [word for word in string if word != "_"],
    }[name]
    return asked_after(words, "|", rule, task.answers == "shown")
