"""Writing squashfs images: one member after another, to any output, without seeking.

from s3archivefs.writer.image_writer import ImageWriter
from s3archivefs.writer.output import FileOutput
"""
