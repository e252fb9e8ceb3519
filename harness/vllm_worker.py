"""What this program adds to the processes that vLLM starts."""

from harness.parent_process import end_with_ancestor


class EndingWorker:
    """Mixed into vLLM's worker class, by its name.  vLLM's own processes outlive a killed one, and keep a GPU's memory."""

    def end_with_process(self, pid: int) -> None:
        """Ends this worker, and vLLM's process above it, when the process of that id ends, however it does."""
        end_with_ancestor(pid)
