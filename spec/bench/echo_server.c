/*
 * The reference for the echo rows: an echo server in plain C on libuv.
 *
 *     bench_echo_server line|chunk [HOST:PORT]
 *
 * `line` answers each line with one write, without batching; `chunk` answers
 * whatever arrives. A peer that does not read its answers is not read from.
 */
#include "server.h"

#include <stdbool.h>

#define LINE_LIMIT 65536
#define HIGH_WATER 65536

struct connection {
    uv_tcp_t tcp;
    uv_read_cb on_read;
    bool paused;
    char *partial; /* the start of a line whose end has not come yet */
    size_t length;
    size_t capacity;
};

static void on_close(uv_handle_t *handle) {
    struct connection *conn = (struct connection *)handle;
    free(conn->partial);
    free(conn);
}

static void connection_close(struct connection *conn) {
    if (!uv_is_closing((uv_handle_t *)&conn->tcp))
        uv_close((uv_handle_t *)&conn->tcp, on_close);
}

/* Appends to the unfinished line. Returns 0, or UV_E2BIG above the limit. */
static int keep_partial(struct connection *conn, const char *data,
                        size_t size) {
    size_t length = conn->length + size;
    if (length > LINE_LIMIT)
        return UV_E2BIG;
    if (length > conn->capacity) {
        conn->capacity = length < 256 ? 256 : 2 * length;
        conn->partial = must_alloc(conn->partial, conn->capacity);
    }
    memcpy(conn->partial + conn->length, data, size);
    conn->length = length;
    return 0;
}

/* Answers with the line that `data` ends, `size` bytes with its newline. */
static int echo_line(struct connection *conn, const char *data, size_t size) {
    uv_stream_t *stream = (uv_stream_t *)&conn->tcp;
    if (conn->length == 0)
        return send_bytes(stream, data, size);
    int status = keep_partial(conn, data, size);
    if (status == 0)
        status = send_bytes(stream, conn->partial, conn->length);
    conn->length = 0;
    return status;
}

static int echo_lines(struct connection *conn, const char *data, size_t size) {
    const char *end = data + size;
    const char *newline;
    while ((newline = memchr(data, '\n', (size_t)(end - data))) != NULL) {
        int status = echo_line(conn, data, (size_t)(newline + 1 - data));
        if (status < 0)
            return status;
        data = newline + 1;
    }
    return data < end ? keep_partial(conn, data, (size_t)(end - data)) : 0;
}

static int echo_chunk(struct connection *conn, const char *data, size_t size) {
    return send_bytes((uv_stream_t *)&conn->tcp, data, size);
}

/* Shared by both modes: `echo` is one of the two functions above. */
static void echo_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf,
                      int (*echo)(struct connection *, const char *, size_t)) {
    struct connection *conn = (struct connection *)stream;
    if (nread == 0)
        return;
    if (nread < 0 || echo(conn, buf->base, (size_t)nread) < 0) {
        connection_close(conn);
        return;
    }
    if (uv_stream_get_write_queue_size(stream) > HIGH_WATER) {
        conn->paused = true;
        uv_read_stop(stream);
    }
}

static void on_read_lines(uv_stream_t *stream, ssize_t nread,
                          const uv_buf_t *buf) {
    echo_read(stream, nread, buf, echo_lines);
}

static void on_read_chunk(uv_stream_t *stream, ssize_t nread,
                          const uv_buf_t *buf) {
    echo_read(stream, nread, buf, echo_chunk);
}

static void accept_one(uv_stream_t *listener, int status, uv_read_cb on_read) {
    check(status, "accept");
    struct connection *conn = must_alloc(NULL, sizeof(*conn));
    memset(conn, 0, sizeof(*conn));
    check(uv_tcp_init(listener->loop, &conn->tcp), "connection");
    conn->on_read = on_read;
    if (uv_accept(listener, (uv_stream_t *)&conn->tcp) < 0) {
        connection_close(conn);
        return;
    }
    uv_tcp_nodelay(&conn->tcp, 1);
    uv_read_start((uv_stream_t *)&conn->tcp, on_alloc, on_read);
}

static void on_line_connection(uv_stream_t *listener, int status) {
    accept_one(listener, status, on_read_lines);
}

static void on_chunk_connection(uv_stream_t *listener, int status) {
    accept_one(listener, status, on_read_chunk);
}

static void on_sent(uv_stream_t *stream, int status) {
    struct connection *conn = (struct connection *)stream;
    if (status < 0) {
        connection_close(conn);
        return;
    }
    if (conn->paused && uv_stream_get_write_queue_size(stream) == 0) {
        conn->paused = false;
        uv_read_start(stream, on_alloc, conn->on_read);
    }
}

int main(int argc, char **argv) {
    static struct server server = {.on_sent = on_sent};
    const char *address = argc > 2 ? argv[2] : "127.0.0.1:0";
    if (argc > 1 && strcmp(argv[1], "line") == 0)
        serve(&server, address, on_line_connection);
    else if (argc > 1 && strcmp(argv[1], "chunk") == 0)
        serve(&server, address, on_chunk_connection);
    fprintf(stderr, "usage: %s line|chunk [HOST:PORT]\n", argv[0]);
    return 2;
}
