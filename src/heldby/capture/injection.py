"""What the code that makes the target copy itself does on every processor, and why it can be left alone.

One thread of the target runs a stub that uses no stack and writes no memory. It blocks signals, clones a
helper thread, unblocks signals, loads the registers it had and jumps back. The helper forks the process,
waits for the copy and exits. The copy does nothing but exit_group. Every step goes on by itself: whether
heldby lives or was killed changes only how long the copy stands still before it exits, since the copy is born
stopped when a tracer follows it and runs on when the tracer is gone. docs/capture.md has the whole argument.
The code itself: `heldby.capture.amd64`, `heldby.capture.arm64`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from heldby.capture import ptrace

CODE_SIZE: Final = 256
SIG_SETMASK: Final = 2
EVERY_SIGNAL: Final = (1 << 64) - 1
_CLONE_VM, _CLONE_FS, _CLONE_FILES, _CLONE_SIGHAND = 0x100, 0x200, 0x400, 0x800
_CLONE_THREAD, _CLONE_SYSVSEM = 0x10000, 0x40000
HELPER_FLAGS: Final = _CLONE_VM | _CLONE_FS | _CLONE_FILES | _CLONE_SIGHAND | _CLONE_THREAD | _CLONE_SYSVSEM
# Shared descriptors: a socket that the service closes while the copy lives is really closed. No exit signal.
COPY_FLAGS: Final = _CLONE_FS | _CLONE_FILES


@dataclass(frozen=True, slots=True)
class StubCalls:
    """The numbers of the stub's system calls, and what seccomp filters see in ``arch`` (<linux/audit.h>)."""

    audit_arch: int
    rt_sigprocmask: int
    clone: int
    wait4: int
    exit: int
    exit_group: int

    def with_arguments(self) -> tuple[tuple[int, tuple[int, ...]], ...]:
        """Return number and first arguments of each; pointers and process ids as 0, filters cannot know them."""
        return (
            (self.rt_sigprocmask, (SIG_SETMASK, 0, 0, 8)),
            (self.clone, (HELPER_FLAGS,)),
            (self.clone, (COPY_FLAGS,)),
            (self.wait4, (0, 0, ptrace.WALL)),
            (self.exit, (0,)),
            (self.exit_group, (0,)),
        )
