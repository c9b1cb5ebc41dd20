/*
 * connection.c - one connection: records in, records out.
 *
 * OpenSSL reads from and writes to the buffers of the call that is under way;
 * nothing is kept between calls but what it has not made a record of yet. Its
 * list of errors is the thread's, so each call clears it first: the failure of
 * one connection must not be found by the next.
 */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "openssl.h"

/* ---- the buffers as OpenSSL sees them ----------------------------------- */

static int buffer_read(BIO *bio, char *data, int size) {
    tls_connection *c = BIO_get_data(bio);
    ahost__tls_io *io = c->io;
    BIO_clear_retry_flags(bio);
    if (io == NULL || io->in_size == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    if ((size_t)size > io->in_size)
        size = (int)io->in_size;
    memcpy(data, io->in, (size_t)size);
    io->in += size;
    io->in_size -= (size_t)size;
    return size;
}

static int buffer_write(BIO *bio, const char *data, int size) {
    tls_connection *c = BIO_get_data(bio);
    ahost__tls_io *io = c->io;
    BIO_clear_retry_flags(bio);
    if (io == NULL || io->out_size == io->out_capacity) {
        BIO_set_retry_write(bio);
        return -1;
    }
    if ((size_t)size > io->out_capacity - io->out_size)
        size = (int)(io->out_capacity - io->out_size);
    memcpy(io->out + io->out_size, data, (size_t)size);
    io->out_size += (size_t)size;
    return size;
}

static long buffer_control(BIO *bio, int command, long number, void *pointer) {
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static int buffer_create(BIO *bio) {
    BIO_set_init(bio, 1);
    return 1;
}

BIO_METHOD *tls_new_method(void) {
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "ahost");
    if (method == NULL)
        return NULL;
    BIO_meth_set_read(method, buffer_read);
    BIO_meth_set_write(method, buffer_write);
    BIO_meth_set_ctrl(method, buffer_control);
    BIO_meth_set_create(method, buffer_create);
    return method;
}

/* ---- lifetime ----------------------------------------------------------- */

tls_connection *tls_connection_of(const SSL *ssl) {
    return SSL_get_app_data(ssl);
}

/* Whom the client expects: what it asks for, and what the certificate must be
 * made out to. */
static int expect_server(tls_connection *c, const ahost__tls_start *start) {
    X509_VERIFY_PARAM *param = SSL_get0_param(c->ssl);
    if (start->hostname == NULL)
        return 1;
    if (strlen(start->hostname) >= sizeof(c->hostname))
        return 0;
    strcpy(c->hostname, start->hostname);
    if (start->is_address)
        return X509_VERIFY_PARAM_set1_ip_asc(param, c->hostname);
    X509_VERIFY_PARAM_set_hostflags(param,
                                    X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return X509_VERIFY_PARAM_set1_host(param, c->hostname, 0) &&
           (int)SSL_set_tlsext_host_name(c->ssl, c->hostname);
}

static int set_up(tls_connection *c, const ahost__tls_start *start) {
    BIO *bio = BIO_new(c->context->method);
    if (bio == NULL)
        return 0;
    BIO_set_data(bio, c);
    SSL_set_bio(c->ssl, bio, bio);
    SSL_set_app_data(c->ssl, c);
    if (c->context->is_server) {
        SSL_set_accept_state(c->ssl);
        return 1;
    }
    SSL_set_connect_state(c->ssl);
    if (!expect_server(c, start))
        return 0;
    tls_resume(c, start);
    return 1;
}

void *tls_connection_new(void *data, const ahost__tls_start *start) {
    tls_context *context = data;
    tls_connection *c = calloc(1, sizeof(*c));
    ERR_clear_error();
    if (c == NULL)
        return NULL;
    c->context = context;
    context->references++;
    c->ssl = SSL_new(context->identities[0].ssl);
    if (c->ssl != NULL && set_up(c, start))
        return c;
    tls_connection_free(c);
    return NULL;
}

void tls_connection_free(void *data) {
    tls_connection *c = data;
    ERR_clear_error();
    SSL_SESSION_free(c->session);
    SSL_free(c->ssl);
    tls_context_free(c->context);
    free(c);
    ERR_clear_error();
}

/* ---- calls -------------------------------------------------------------- */

static void begin(tls_connection *c, ahost__tls_io *io) {
    ERR_clear_error();
    c->io = io;
}

/* What the result of a call means. */
static ahost__tls_status status_of(tls_connection *c, int result,
                                   ahost__tls_failure *failure) {
    if (result > 0)
        return AHOST__TLS_DONE;
    switch (SSL_get_error(c->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return AHOST__TLS_MORE;
    case SSL_ERROR_WANT_WRITE:
        return AHOST__TLS_FULL;
    case SSL_ERROR_ZERO_RETURN:
        return AHOST__TLS_ENDED;
    default:
        tls_explain(c, failure);
        return AHOST__TLS_FAILED;
    }
}

/* A resumed session is as good as the handshake that it comes from: a client
 * that checks does not take one that did not. */
static int is_trusted(tls_connection *c) {
    if (c->context->verify != AHOST__TLS_VERIFY_REQUIRED ||
        !SSL_session_reused(c->ssl))
        return 1;
    c->culprit.error = (int)SSL_get_verify_result(c->ssl);
    return c->culprit.error == X509_V_OK;
}

ahost__tls_status tls_handshake(void *connection, ahost__tls_io *io,
                                ahost__tls_failure *failure) {
    tls_connection *c = connection;
    ahost__tls_status status;
    begin(c, io);
    status = status_of(c, SSL_do_handshake(c->ssl), failure);
    if (status == AHOST__TLS_DONE && !is_trusted(c)) {
        tls_explain_certificate(c, failure);
        status = AHOST__TLS_FAILED;
    }
    if (status == AHOST__TLS_ENDED) { /* close_notify in place of an alert */
        tls_explain(c, failure);
        status = AHOST__TLS_FAILED;
    }
    c->io = NULL;
    return status;
}

ahost__tls_status tls_read(void *connection, ahost__tls_io *io, char *data,
                           size_t capacity, size_t *size,
                           ahost__tls_failure *failure) {
    tls_connection *c = connection;
    ahost__tls_status status = AHOST__TLS_DONE;
    begin(c, io);
    while (*size < capacity && status == AHOST__TLS_DONE) {
        size_t taken = 0;
        int result =
            SSL_read_ex(c->ssl, data + *size, capacity - *size, &taken);
        *size += taken;
        status = status_of(c, result, failure);
    }
    c->io = NULL;
    return status;
}

ahost__tls_status tls_write(void *connection, ahost__tls_io *io,
                            const char *data, size_t size, size_t *taken,
                            ahost__tls_failure *failure) {
    static const size_t most = SSL3_RT_MAX_PLAIN_LENGTH;
    tls_connection *c = connection;
    ahost__tls_status status = AHOST__TLS_DONE;
    begin(c, io);
    *taken = 0;
    while (*taken < size && status == AHOST__TLS_DONE &&
           io->out_capacity - io->out_size >= AHOST__TLS_RECORD) {
        size_t part = size - *taken < most ? size - *taken : most, written = 0;
        int result = SSL_write_ex(c->ssl, data + *taken, part, &written);
        *taken += written;
        status = status_of(c, result, failure);
    }
    c->io = NULL;
    return status;
}

void tls_end(void *connection, ahost__tls_io *io) {
    tls_connection *c = connection;
    begin(c, io);
    SSL_shutdown(c->ssl);
    ERR_clear_error();
    c->io = NULL;
}
