/*
 * session.c - sessions that a client takes from one connection to the next.
 *
 * A session stands for a handshake, and so for the check of a certificate: it
 * is kept with the name of the server, and is of no use for another.
 */
#include <openssl/err.h>
#include <string.h>

#include "openssl.h"

/* OpenSSL offers a session that may be resumed; the last one is the best. */
int tls_keep_session(SSL *ssl, SSL_SESSION *session) {
    tls_connection *c = tls_connection_of(ssl);
    SSL_SESSION_free(c->session);
    c->session = session;
    return 1;
}

/* The name of the server, a zero byte, and the session as OpenSSL writes it. */
size_t tls_session(void *connection, char *data, size_t capacity) {
    tls_connection *c = connection;
    size_t name = strlen(c->hostname) + 1;
    unsigned char *end;
    int size;
    ERR_clear_error();
    if (c->session == NULL || !SSL_SESSION_is_resumable(c->session))
        return 0;
    size = i2d_SSL_SESSION(c->session, NULL);
    if (size <= 0 || name + (size_t)size > capacity)
        return 0;
    memcpy(data, c->hostname, name);
    end = (unsigned char *)data + name;
    return name + (size_t)i2d_SSL_SESSION(c->session, &end);
}

/* What is no session, or one with another server, is ignored: the handshake is
 * a full one then. */
void tls_resume(tls_connection *c, const ahost__tls_start *start) {
    size_t name = strlen(c->hostname) + 1;
    const unsigned char *data;
    SSL_SESSION *session;
    if (start->session == NULL || start->session_size <= name ||
        memcmp(start->session, c->hostname, name) != 0)
        return;
    data = (const unsigned char *)start->session + name;
    session = d2i_SSL_SESSION(NULL, &data, (long)(start->session_size - name));
    if (session != NULL)
        SSL_set_session(c->ssl, session);
    SSL_SESSION_free(session);
    ERR_clear_error();
}
