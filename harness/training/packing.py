"""Several sequences in one row of a batch, invisible to each other: less padding, and a common prompt is computed once.

Each sequence has positions counted from its own first token, and a mask hides the others.  Its result is therefore that of
the sequence alone.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from harness.engine.tree import common_prefix_length
from harness.training.batches import Batch, Tokens, pad_rows

Answers = tuple[Tokens, ...]  # to one prompt
WIDTHS = (1.0, 1.4, 2.0)  # row widths to try, in lengths of the longest item


def separate_rows(items: Sequence[Answers], pad: int) -> Batch:
    """Each answer with its prompt in a row of its own: all first answers, then all second ones."""
    return pad_rows([answers[b] for b in range(len(items[0])) for answers in items], pad)


def prompt_length(answers: Answers) -> int:
    """The number of first tokens that all answers to a prompt share, before any answer begins; 0 for a single answer."""
    if len(answers) == 1:
        return 0
    first, *others = answers
    return min([common_prefix_length(first.ids, o.ids) for o in others] + [a.start for a in answers])


def packed_length(answers: Answers) -> int:
    """Tokens of the answers with their common prompt once."""
    return sum(map(len, answers)) - prompt_length(answers) * (len(answers) - 1)


def plan_rows(lengths: Sequence[int], cost: Callable[[int, int], float]) -> tuple[list[list[int]], int]:
    """(items of each row, width of the rows), at the least `cost(rows, width)` of the widths in WIDTHS.

    Wide rows waste less padding, but attention costs the square of the width.
    """
    plans = []
    for count in dict.fromkeys(-(-sum(lengths) // int(max(lengths) * w)) for w in WIDTHS):
        rows, width = distribute(lengths, count)
        plans.append((cost(count, width), width, rows))
    _, width, rows = min(plans, key=lambda plan: plan[0])
    return rows, width


def distribute(lengths: Sequence[int], count: int) -> tuple[list[list[int]], int]:
    """(`count` rows of items, their width): the longest item first, each into the emptiest row (Graham's LPT rule, 1969)."""
    rows: list[list[int]] = [[] for _ in range(count)]
    heap = [(0, r) for r in range(count)]  # (tokens, row)
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        tokens, r = heap[0]
        rows[r].append(i)
        heapq.heapreplace(heap, (tokens + lengths[i], r))
    return rows, max(tokens for tokens, _ in heap)


def pack_rows(items: Sequence[Answers], pad: int, rows: Sequence[Sequence[int]], width: int) -> Batch:
    """The items in rows as planned: each prompt once, then its answers.

    All items have equally many answers, with the numbers of `separate_rows`: all first ones, then all second ones.
    """
    ids, positions = ([[fill] * width for _ in rows] for fill in (pad, 0))
    item, branch = ([[0] * width for _ in rows] for _ in range(2))  # item 0 is padding; branch 0 is the common prompt
    starts: dict[tuple[int, int], tuple[int, int]] = {}  # (item, answer) -> (place of its prompt, place of its branch)
    for r, row in enumerate(rows):
        column = 0
        for i in row:
            prompt, base = prompt_length(items[i]), column
            for b, answer in enumerate(items[i]):
                skip = prompt if b else 0  # the first answer brings the prompt
                end = column + len(answer) - skip
                ids[r][column:end] = answer.ids[skip:]
                positions[r][column:end] = range(skip, len(answer))
                item[r][column:end] = [i + 1] * (end - column)
                branch[r][column:end] = [0] * (prompt - skip) + [b + 1] * (len(answer) - prompt)
                starts[i, b] = (r * width + base, r * width + column - skip)
                column = end
    t, (predictors, targets, owners, last) = torch.tensor, target_places(items, starts)
    visible = visibility_mask(t(item), t(branch))
    return Batch(t(ids), predictors, targets, owners, last, sum(map(packed_length, items)), t(positions), visible)


def target_places(items: Sequence[Answers], starts: dict[tuple[int, int], tuple[int, int]]) -> list[Tensor]:
    """`predictors`, `targets`, `answers` and `last_places` of a `Batch`.

    The first token of a branch is predicted by the last token of the common prompt, which lies elsewhere in the row.
    """
    predictors, targets, owners, last = (list[int]() for _ in range(4))
    for b in range(len(items[0])):
        for i, answers in enumerate(items):
            row, prompt, (base, offset) = answers[b], prompt_length(answers), starts[i, b]
            start = max(1, row.start)
            predictors += [(offset if j >= prompt else base) + j for j in range(start - 1, len(row) - 1)]
            targets += row.ids[start:]
            owners += [i + b * len(items)] * row.target_count
            last.append(offset + len(row) - 1)
    return [torch.tensor(numbers) for numbers in (predictors, targets, owners, last)]


def visibility_mask(item: Tensor, branch: Tensor) -> Tensor:
    """The keys that each query may see: [B, T] and [B, T] -> [B, 1, T, T] bool.

    A token sees the past of its own item, but only the common prompt (branch 0) and its own answer: the answers of a pair
    stand one after the other in the row, and the second must not read the first.
    """
    past = torch.ones(item.shape[1], item.shape[1], dtype=torch.bool).tril()
    is_prompt, same_answer = branch[:, None, :] == 0, branch[:, :, None] == branch[:, None, :]
    visible = past & (item[:, :, None] == item[:, None, :]) & (is_prompt | same_answer)
    return visible[:, None]
