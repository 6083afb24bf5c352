"""The certificate of the endpoint, and its key."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from s3archivefs_lambda.commands.endpoint_settings import TLS_CERT, TLS_KEY, EndpointSetting
from s3archivefs_lambda.commands.errors import UsageError
from s3archivefs_lambda.commands.private_files import check_private
from s3archivefs_lambda.endpoint.tls import Certificate

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["certificate_of"]


def certificate_of(settings: Mapping[EndpointSetting, str]) -> Certificate | None:
    """Return the certificate that the settings name, or None without one.

    Raises UsageError for half of a pair, and for files that cannot be used; the latter also when
    they are loaded again.
    """
    certificate, key = settings.get(TLS_CERT), settings.get(TLS_KEY)
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        missing = TLS_CERT if certificate is None else TLS_KEY
        raise UsageError(f"{missing}: name it too, or neither of the two")
    return Certificate(lambda: _context(certificate, key))


def _context(certificate: str, key: str) -> ssl.SSLContext:
    """Return the settings of new connections; the files are read now, and no more."""
    check_private(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        # The password is asked for on the terminal unless there is one.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        what = error.reason or "they are no PEM files, or the key has a password"
        raise UsageError(f"{certificate} and {key}: cannot be used: {what}") from None
    except OSError as error:
        raise UsageError(f"{certificate}: cannot be read: {error.strerror}") from None
    return context
