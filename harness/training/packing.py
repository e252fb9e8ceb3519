"""Several sequences in one row of a batch, none of which sees another: less padding, and a common prompt is computed once.

Each has positions of its own, counted from its first token, and a mask keeps it to itself: what is computed of it is what is
computed of it alone.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from harness.training.batches import Batch, lists, padded
from harness.training.preferences import common
from harness.training.tokenization import Tokens

Answers = tuple[Tokens, ...]  # to one prompt
WIDTHS = (1.0, 1.4, 2.0)  # widths that are tried, in lengths of the longest


def apart(items: Sequence[Answers], pad: int) -> Batch:
    """Each answer with its prompt, in a row of its own: all first answers, then all second ones."""
    return padded([answers[b] for b in range(len(items[0])) for answers in items], pad)


def stem(answers: Answers) -> int:
    """How many tokens all answers to a prompt have in common before the first of them begins; of one alone, none."""
    if len(answers) == 1:
        return 0
    first, *others = answers
    return min([common(first.ids, o.ids) for o in others] + [a.start for a in answers])


def size(answers: Answers) -> int:
    """Tokens that the answers take with their common prompt once."""
    return sum(map(len, answers)) - stem(answers) * (len(answers) - 1)


def plan(sizes: Sequence[int], cost: Callable[[int, int], float]) -> tuple[list[list[int]], int]:
    """(which sequences share a row, how wide rows are), at the least `cost(rows, width)` of those that are tried."""
    tried = []
    for count in dict.fromkeys(-(-sum(sizes) // int(max(sizes) * w)) for w in WIDTHS):
        rows, width = shared_out(sizes, count)
        tried.append((cost(count, width), width, rows))
    _, width, rows = min(tried, key=lambda t: t[0])
    return rows, width


def shared_out(sizes: Sequence[int], count: int) -> tuple[list[list[int]], int]:
    """So many rows, and their width: the longest first, each into the row that holds least (R. Graham's LPT rule, 1969)."""
    rows: list[list[int]] = [[] for _ in range(count)]
    emptiest = [(0, r) for r in range(count)]
    for i in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        held, r = emptiest[0]
        rows[r].append(i)
        heapq.heapreplace(emptiest, (held + sizes[i], r))
    return rows, max(held for held, _ in emptiest)


def packed(items: Sequence[Answers], pad: int, rows: Sequence[Sequence[int]], width: int) -> Batch:
    """The items in rows as planned: each prompt once, then its answers.

    All items have equally many answers, which are numbered as in `apart`: all first ones, then all second ones.
    """
    ids, positions = ([[fill] * width for _ in rows] for fill in (pad, 0))
    whose, branch = ([[0] * width for _ in rows] for _ in range(2))  # whose: 0 is padding; branch: 0 is the common prompt
    starts: dict[tuple[int, int], tuple[int, int]] = {}  # of (item, answer): where its row and its branch begin
    for r, row in enumerate(rows):
        column = 0
        for i in row:
            shared, base = stem(items[i]), column
            for b, answer in enumerate(items[i]):
                skipped = shared if b else 0
                end = column + len(answer) - skipped
                ids[r][column:end] = answer.ids[skipped:]
                positions[r][column:end] = range(skipped, len(answer))
                whose[r][column:end] = [i + 1] * (end - column)
                branch[r][column:end] = [0] * (shared - skipped) + [b + 1] * (len(answer) - shared)
                starts[i, b] = (r * width + base, r * width + column - skipped)
                column = end
    t = torch.tensor
    return Batch(t(ids), *learnt(items, starts), sum(map(size, items)), t(positions), kept_apart(t(whose), t(branch)))


def learnt(items: Sequence[Answers], starts: dict[tuple[int, int], tuple[int, int]]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """before, targets, owner and last of a `Batch`."""
    before, targets, owner, last = lists()
    for b in range(len(items[0])):
        for i, answers in enumerate(items):
            row, shared, (base, moved) = answers[b], stem(answers), starts[i, b]
            start = max(1, row.start)
            before += [(moved if j >= shared else base) + j for j in range(start - 1, len(row) - 1)]
            targets += row.ids[start:]
            owner += [i + b * len(items)] * row.learnt
            last.append(moved + len(row) - 1)
    return torch.tensor(before), torch.tensor(targets), torch.tensor(owner), torch.tensor(last)


def kept_apart(whose: Tensor, branch: Tensor) -> Tensor:
    """Who sees whom: the past of the same item, in the common prompt or in the same answer.  [B, T] each -> [B, 1, T, T]."""
    past = torch.ones(whose.shape[1], whose.shape[1], dtype=torch.bool).tril()
    of_prompt, same_answer = branch[:, None, :] == 0, branch[:, :, None] == branch[:, None, :]
    found = past & (whose[:, :, None] == whose[:, None, :]) & (of_prompt | same_answer)
    return found[:, None]
