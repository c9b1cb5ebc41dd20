/*
 * openssl.h - what the files of the OpenSSL engine share.
 */
#ifndef AHOST_TLS_OPENSSL_H
#define AHOST_TLS_OPENSSL_H

#include <openssl/ssl.h>

#include "tls_engine.h"

/* Certificates that a server chooses among by the name that is asked for. */
typedef struct tls_identity {
    char *host; /* NULL: for all */
    SSL_CTX *ssl;
} tls_identity;

/* Counted: its connections need it during their handshakes. */
typedef struct tls_context {
    int references;
    int is_server, has_default;
    ahost__tls_verify verify;
    BIO_METHOD *method; /* of the buffers of connections */
    unsigned char *protocols;
    unsigned protocols_size;
    tls_identity *identities;
    size_t identity_count;
} tls_context;

/* What was wrong with a certificate of the peer, noted where it is looked at.
 */
typedef struct tls_culprit {
    int error; /* X509_V_ERR_..., or 0 */
    char subject[256], issuer[256], names[256], date[32];
} tls_culprit;

typedef struct tls_connection {
    SSL *ssl;
    tls_context *context;
    ahost__tls_io *io; /* of the call that is under way */
    char hostname[256];
    SSL_SESSION *session; /* the last that the server has offered, or NULL */
    tls_culprit culprit;
} tls_connection;

/* context.c */
void *tls_context_new(const ahost__tls_settings *settings,
                      ahost__tls_failure *failure);
void tls_context_free(void *context);

/* connection.c */
tls_connection *tls_connection_of(const SSL *ssl);
void *tls_connection_new(void *context, const ahost__tls_start *start);
void tls_connection_free(void *connection);
ahost__tls_status tls_handshake(void *connection, ahost__tls_io *io,
                                ahost__tls_failure *failure);
ahost__tls_status tls_read(void *connection, ahost__tls_io *io, char *data,
                           size_t capacity, size_t *size,
                           ahost__tls_failure *failure);
ahost__tls_status tls_write(void *connection, ahost__tls_io *io,
                            const char *data, size_t size, size_t *taken,
                            ahost__tls_failure *failure);
void tls_end(void *connection, ahost__tls_io *io);
BIO_METHOD *tls_new_method(void);

/* certificate.c */
void tls_describe(void *connection, ahost__tls_description *description);
void tls_write_name(const X509_NAME *name, char *text, size_t size);
void tls_write_names(const X509 *certificate, const char *separator, char *text,
                     size_t size);
int64_t tls_seconds(const ASN1_TIME *time);

/* session.c */
size_t tls_session(void *connection, char *data, size_t capacity);
void tls_resume(tls_connection *c, const ahost__tls_start *start);
int tls_keep_session(SSL *ssl, SSL_SESSION *session);

/* failure.c */

/* Notes what is wrong with a certificate; the callback of verification. */
int tls_verified(int ok, X509_STORE_CTX *store);

/* Why a call on a connection has failed. */
void tls_explain(tls_connection *c, ahost__tls_failure *failure);

/* The certificate of the peer is refused for `culprit.error`. */
void tls_explain_certificate(const tls_connection *c,
                             ahost__tls_failure *failure);

/* "WHAT: what OpenSSL says"; forgets its errors. */
void tls_explain_setting(ahost__tls_failure *failure, const char *what);

#endif
