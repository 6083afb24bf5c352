"""Images as a tree of files that any program reads: a mount of Linux's FUSE.

`protocol` has the kernel's messages, `handlers` turns them into calls of `operations`, and
`session` reads and answers them; `mounting` mounts, and `program` puts it all together.
"""
