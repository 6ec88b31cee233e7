"""Encrypted connections: the node's own certificate, and whose certificates it believes."""

import ssl
from typing import Any

from hemf.core.errors import HemfError


class _InTime(ssl.SSLContext):
    """Leaves the handshake to the connection's own thread, so that a silent sender holds up no other."""

    def wrap_socket(self, sock: Any, *arguments: Any, **named: Any) -> ssl.SSLSocket:
        named["do_handshake_on_connect"] = False
        return super().wrap_socket(sock, *arguments, **named)


def server_context(certificate: str, key: str | None, authorities: str | None) -> ssl.SSLContext:
    """Return what the node listens with.

    Args:
        certificate: PEM file with its certificate, and those that lead from it to an authority.
        key: PEM file with its key; None where the certificate's file holds it.
        authorities: PEM file with the authorities of those who may connect, who then must show a certificate.

    Raises:
        HemfError: a file cannot be read or does not fit.
    """
    context = _InTime(ssl.PROTOCOL_TLS_SERVER)
    _show(context, certificate, key)
    if authorities is not None:
        _believe(context, authorities)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(certificate: str | None, key: str | None, authorities: str | None) -> ssl.SSLContext:
    """Return what the node sends with: it checks the receiver's certificate and name.

    Args:
        certificate: PEM file with the node's own certificate; None to show none.
        key: PEM file with its key.
        authorities: PEM file with the authorities that it believes; None for those of the system.

    Raises:
        HemfError: a file cannot be read or does not fit.
    """
    context = ssl.create_default_context()
    if authorities is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        _believe(context, authorities)
    if certificate is not None:
        _show(context, certificate, key)
    return context


def _show(context: ssl.SSLContext, certificate: str, key: str | None) -> None:
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        raise HemfError(
            f"--tls-cert {certificate} and --tls-key {key or ''} cannot be used: {_reason(error)}; give PEM "
            "files that belong together, the key without a password"
        ) from error


def _believe(context: ssl.SSLContext, authorities: str) -> None:
    try:
        context.load_verify_locations(authorities)
    except (OSError, ValueError) as error:
        raise HemfError(
            f"--tls-ca {authorities} cannot be used: {_reason(error)}; give a PEM file"
        ) from error


def _no_password() -> str:
    raise ValueError("the key has a password")


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
