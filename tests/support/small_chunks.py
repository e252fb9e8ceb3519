"""`python -m tests.support.small_chunks`: the program with logits of three tokens at a time, as of a large vocabulary."""

from harness.cli import main
from harness.training import forward

if __name__ == "__main__":
    forward.CHUNK = 3 * 400  # the toy's vocabulary has 400 tokens
    main()
