/*
 * The reference for the row tls_echo: an echo server in plain C on libuv and
 * OpenSSL, with memory BIOs.
 *
 *     bench_tls_echo_server HOST:PORT FILE
 *
 * FILE holds a certificate and its key. Whatever arrives is sent back; a peer
 * that does not read its answers is not read from.
 */
#include "server.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>

#define HIGH_WATER 65536

struct connection {
    uv_tcp_t tcp;
    SSL *ssl;
    BIO *in, *out;
    bool paused;
};

static SSL_CTX *context;
static char plain[INPUT_SIZE];

static void on_close(uv_handle_t *handle) {
    struct connection *conn = (struct connection *)handle;
    SSL_free(conn->ssl);
    free(conn);
}

static void connection_close(struct connection *conn) {
    if (!uv_is_closing((uv_handle_t *)&conn->tcp))
        uv_close((uv_handle_t *)&conn->tcp, on_close);
}

/* Sends what OpenSSL has left: from where it is, without a copy. */
static int send_output(struct connection *conn) {
    char *data;
    long size = BIO_get_mem_data(conn->out, &data);
    int status = 0;
    if (size > 0)
        status = send_bytes((uv_stream_t *)&conn->tcp, data, (size_t)size);
    (void)BIO_reset(conn->out);
    return status;
}

/* -> 0, or negative when the connection is over */
static int echo(struct connection *conn) {
    size_t size;
    ERR_clear_error();
    while (SSL_read_ex(conn->ssl, plain, sizeof(plain), &size)) {
        size_t written;
        if (!SSL_write_ex(conn->ssl, plain, size, &written))
            return -1;
    }
    if (SSL_get_error(conn->ssl, 0) != SSL_ERROR_WANT_READ)
        return -1;
    return send_output(conn);
}

static void on_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf) {
    struct connection *conn = (struct connection *)stream;
    if (nread == 0)
        return;
    if (nread > 0)
        BIO_write(conn->in, buf->base, (int)nread);
    if (nread < 0 || echo(conn) < 0) {
        connection_close(conn);
        return;
    }
    if (uv_stream_get_write_queue_size(stream) > HIGH_WATER) {
        conn->paused = true;
        uv_read_stop(stream);
    }
}

static void on_connection(uv_stream_t *listener, int status) {
    struct connection *conn = must_alloc(NULL, sizeof(*conn));
    check(status, "accept");
    memset(conn, 0, sizeof(*conn));
    check(uv_tcp_init(listener->loop, &conn->tcp), "connection");
    conn->ssl = SSL_new(context);
    conn->in = BIO_new(BIO_s_mem());
    conn->out = BIO_new(BIO_s_mem());
    SSL_set_bio(conn->ssl, conn->in, conn->out);
    SSL_set_accept_state(conn->ssl);
    if (uv_accept(listener, (uv_stream_t *)&conn->tcp) < 0) {
        connection_close(conn);
        return;
    }
    uv_tcp_nodelay(&conn->tcp, 1);
    uv_read_start((uv_stream_t *)&conn->tcp, on_alloc, on_read);
}

static void on_sent(uv_stream_t *stream, int status) {
    struct connection *conn = (struct connection *)stream;
    if (status < 0) {
        connection_close(conn);
        return;
    }
    if (conn->paused && uv_stream_get_write_queue_size(stream) == 0) {
        conn->paused = false;
        uv_read_start(stream, on_alloc, on_read);
    }
}

int main(int argc, char **argv) {
    static struct server server = {.on_sent = on_sent};
    if (argc != 3) {
        fprintf(stderr, "usage: %s HOST:PORT FILE\n", argv[0]);
        return 2;
    }
    context = SSL_CTX_new(TLS_server_method());
    if (context == NULL ||
        !SSL_CTX_use_certificate_chain_file(context, argv[2]) ||
        !SSL_CTX_use_PrivateKey_file(context, argv[2], SSL_FILETYPE_PEM)) {
        ERR_print_errors_fp(stderr);
        return 1;
    }
    serve(&server, argv[1], on_connection);
    return 0;
}
