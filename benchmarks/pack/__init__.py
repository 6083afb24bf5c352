"""Packing a tree of source code, beside mksquashfs, gensquashfs and tar2sqfs."""
