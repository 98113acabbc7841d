"""Lets one system user pass through a directory, and nobody else: an entry in its access list, as
`setfacl -m u:USER:x` makes. Where the file system keeps none, everybody is let through."""

import errno
import os
import stat
import struct
import sys
from pathlib import Path

ACCESS_LIST = "system.posix_acl_access"
VERSION = struct.pack("<I", 2)
ENTRY = struct.Struct("<HHI")  # tag, permissions, id
OWNER, USER, GROUP, NAMED_GROUP, MASK, OTHERS = 1, 2, 4, 8, 16, 32
NOBODY = 0xFFFFFFFF  # the id of entries that name none
X = 1

Entries = dict[tuple[int, int], int]


def open_for(uid: int, directory: Path) -> None:
    """Changes nothing where that user may pass already."""
    found = directory.stat()
    if found.st_mode & stat.S_IXOTH or (found.st_uid == uid and found.st_mode & stat.S_IXUSR):
        return
    entries = entries_of(directory, found.st_mode)
    if entries.get((USER, uid), 0) & entries.get((MASK, NOBODY), 0) & X:
        return
    try:
        os.setxattr(directory, ACCESS_LIST, packed(with_user(entries, uid)))
        whom = f"user {uid} alone"
    except OSError as error:
        if error.errno not in (errno.ENOTSUP, errno.EPERM):
            raise
        directory.chmod(stat.S_IMODE(found.st_mode) | stat.S_IXOTH)
        whom = "everybody"
    print(f"tokenbook: {directory} may be passed through by {whom} now", file=sys.stderr)


def entries_of(directory: Path, mode: int) -> Entries:
    try:
        packed_list = os.getxattr(directory, ACCESS_LIST)[len(VERSION) :]
    except OSError:
        # None is kept: the mode says it all.
        bits = {OWNER: mode >> 6, GROUP: mode >> 3, OTHERS: mode}
        return {(tag, NOBODY): of_mode & 7 for tag, of_mode in bits.items()}
    return {(tag, id): permissions for tag, permissions, id in ENTRY.iter_unpack(packed_list)}


def with_user(entries: Entries, uid: int) -> Entries:
    """The mask bounds what groups and named users may; it lets through what they had, and this."""
    had = entries.get((MASK, NOBODY), entries[GROUP, NOBODY])
    return entries | {(USER, uid): entries.get((USER, uid), 0) | X, (MASK, NOBODY): had | X}


def packed(entries: Entries) -> bytes:
    """In the kernel's order: by tag, then by id."""
    return VERSION + b"".join(
        ENTRY.pack(tag, permissions, id) for (tag, id), permissions in sorted(entries.items())
    )
