"""The fault suite: what must come out when something is wrong with a file, a disk, a process. The matrix is docs/faults.md."""
