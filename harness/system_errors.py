"""What the system refuses, in words: a full disk, a folder that may not be written; with the way out."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

ROOM = "Make room; the same command continues from what is stored."
RIGHT = "Give this user the right to it, or name another folder with -o."
LARGER = "Allow larger files (ulimit -f), or name a folder elsewhere; the same command continues from what is stored."
FULL = {errno.ENOSPC: ROOM, errno.EDQUOT: ROOM, errno.EFBIG: LARGER}
BROKEN = "The disk fails, or the server that it is on: see the system's log."
OTHER_NAME = "Name another file or folder."
REFUSALS = FULL | {errno.EBUSY: "Wait for it, or stop it."} | {errno.EROFS: RIGHT, errno.EACCES: RIGHT, errno.EPERM: RIGHT}
REFUSALS |= {errno.EAGAIN: "Allow more processes and threads (ulimit -u), or end others of this user."}
REFUSALS |= {errno.EIO: BROKEN, errno.ESTALE: BROKEN, errno.EMFILE: "Allow more open files (ulimit -n)."}
REFUSALS |= dict.fromkeys((errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EEXIST), OTHER_NAME)
RUST_ERROR = re.compile(r"\(os error (\d+)\)")  # safetensors, tokenizers
NO_THREAD = "can't start new thread"  # of Python's threading, which has no number for it
NO_TEMPORARY = "No usable temporary directory found in "  # of the standard library's tempfile, with a code for a missing file
TORCH_WRITER = re.compile(r"inline_container\.cc|iostream error")  # torch.save, as it writes and as it closes a file


def explain_system_error(error: BaseException, place: Path | str = "") -> str:
    """What the system refused, and the way out, where an error says that a file could not be written; else "".

    Libraries that write files in another language report a full disk in words of their own.
    """
    code = error.errno if isinstance(error, OSError) else None
    words = (error.strerror or "") if isinstance(error, OSError) else ""
    if words.startswith(NO_TEMPORARY):
        folders = words.removeprefix(NO_TEMPORARY).strip("[]")
        return f"No temporary file can be written in any of {folders}.  Make room there, or name a folder in TMPDIR."
    if match := RUST_ERROR.search(str(error)):
        code = int(match[1])
    elif isinstance(error, RuntimeError) and TORCH_WRITER.search(str(error)):
        code = next((number for number in REFUSALS if os.strerror(number) in str(error)), errno.ENOSPC)
    if isinstance(error, RuntimeError) and NO_THREAD in str(error):
        code = errno.EAGAIN
    if code not in REFUSALS:
        return ""
    where = getattr(error, "filename", None) or place
    reason = getattr(error, "strerror", None) or os.strerror(code)
    return f"{reason}{f': {where}' if where else ''}.  {REFUSALS[code]}"
