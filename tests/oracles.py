"""Each task's answers, worked out token by token. A list of targets, None where nothing is asked."""


def parity(tokens, supervision="every"):
    targets = []
    odd = False
    for token in tokens:
        if token == 1:
            odd = not odd
        targets.append(int(odd))
    if supervision == "last":
        return [None] * (len(tokens) - 1) + targets[-1:]
    return targets


def dyck_balanced(tokens, num_types):
    targets = []
    stack = []
    for token in tokens:
        if stack is not None:
            if token < num_types:
                stack.append(token)
            elif not stack or stack.pop() != token - num_types:
                stack = None
        targets.append(int(stack == []))
    return targets


def dyck_close(tokens, num_types):
    targets = []
    stack = []
    for token, following in zip(tokens, [*tokens[1:], None]):
        if token < num_types:
            stack.append(token)
        else:
            assert stack.pop() == token - num_types
        closes = following is not None and following >= num_types
        targets.append(stack[-1] if closes else None)
    assert not stack
    return targets


def depth(tokens, num_types):
    heights = [0]
    for token in tokens:
        heights.append(heights[-1] + (1 if token < num_types else -1))
    return max(heights)


def mqar(tokens, num_keys, separator):
    """A key that a value follows is bound to it; any other key is a query."""
    first_key = 2 if separator else 1
    first_value = first_key + num_keys
    bound = {}
    targets = []
    for token, following in zip(tokens, [*tokens[1:], 0]):
        is_key = first_key <= token < first_value
        if is_key and following >= first_value:
            bound[token] = following - first_value
            targets.append(None)
        else:
            targets.append(bound[token] if is_key else None)
    return targets
