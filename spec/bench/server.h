/*
 * What the two reference servers share: the loop with its one input buffer,
 * listening, and writing. A write is tried at once; only what the kernel does
 * not take is copied into a pooled request.
 */
#ifndef BENCH_SERVER_H
#define BENCH_SERVER_H

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <uv.h>

#define INPUT_SIZE 65536
#define SMALL_WRITE 1024
#define BACKLOG 4096

struct outgoing {
    uv_write_t req;
    struct outgoing *next; /* in the pool */
    size_t capacity;
    char data[];
};

struct server {
    uv_loop_t loop;
    uv_tcp_t listener;
    struct outgoing *pool; /* requests of SMALL_WRITE bytes, for reuse */
    /* A queued write has ended; `status` is 0 or a negative code. */
    void (*on_sent)(uv_stream_t *stream, int status);
    char input[INPUT_SIZE]; /* what was read last: one buffer per loop */
};

static inline void check(int status, const char *what) {
    if (status < 0) {
        fprintf(stderr, "%s: %s\n", what, uv_strerror(status));
        exit(1);
    }
}

static inline void *must_alloc(void *block, size_t size) {
    block = realloc(block, size);
    if (block == NULL) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    return block;
}

static inline struct server *server_of(uv_stream_t *stream) {
    return stream->loop->data;
}

/* The uv_alloc_cb of every connection: on_read is done with the data when it
 * returns, so the connections of a loop share one buffer. */
static inline void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf) {
    struct server *server = handle->loop->data;
    (void)size;
    *buf = uv_buf_init(server->input, INPUT_SIZE);
}

static inline struct outgoing *outgoing_take(struct server *s, size_t size) {
    struct outgoing *out = s->pool;
    if (size <= SMALL_WRITE && out != NULL) {
        s->pool = out->next;
        return out;
    }
    size = size < SMALL_WRITE ? SMALL_WRITE : size;
    out = must_alloc(NULL, sizeof(*out) + size);
    out->capacity = size;
    return out;
}

static inline void outgoing_give_back(struct server *s, struct outgoing *out) {
    if (out->capacity != SMALL_WRITE) {
        free(out);
        return;
    }
    out->next = s->pool;
    s->pool = out;
}

static inline void on_write(uv_write_t *req, int status) {
    uv_stream_t *stream = req->handle;
    struct server *server = server_of(stream);
    outgoing_give_back(server, (struct outgoing *)req);
    if (!uv_is_closing((uv_handle_t *)stream))
        server->on_sent(stream, status);
}

/* Writes `size` bytes, which are copied if the kernel does not take them now.
 * Returns 0 or a negative code. libuv refuses uv_try_write while requests are
 * queued, so the order is kept. */
static inline int send_bytes(uv_stream_t *stream, const char *data,
                             size_t size) {
    uv_buf_t buf = uv_buf_init((char *)data, (unsigned)size);
    int written = uv_try_write(stream, &buf, 1);
    if (written == UV_EAGAIN)
        written = 0;
    if (written < 0 || (size_t)written == size)
        return written < 0 ? written : 0;
    size -= (size_t)written;
    struct outgoing *out = outgoing_take(server_of(stream), size);
    memcpy(out->data, data + written, size);
    buf = uv_buf_init(out->data, (unsigned)size);
    int status = uv_write(&out->req, stream, &buf, 1, on_write);
    if (status < 0)
        outgoing_give_back(server_of(stream), out);
    return status;
}

static inline void raise_file_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Prints "host:port": the runner waits for this line. */
static inline void print_address(uv_tcp_t *listener) {
    struct sockaddr_in bound;
    int length = sizeof(bound);
    char host[64];
    check(uv_tcp_getsockname(listener, (struct sockaddr *)&bound, &length),
          "getsockname");
    uv_ip4_name(&bound, host, sizeof(host));
    printf("%s:%d\n", host, ntohs(bound.sin_port));
    fflush(stdout);
}

/* Listens on the IPv4 address "host:port" and runs the loop for ever. */
static inline void serve(struct server *server, const char *address,
                         uv_connection_cb on_connection) {
    char host[64];
    int port;
    struct sockaddr_in where;
    if (sscanf(address, "%63[^:]:%d", host, &port) != 2)
        check(UV_EINVAL, address);
    signal(SIGPIPE, SIG_IGN);
    raise_file_limit();
    check(uv_ip4_addr(host, port, &where), address);
    check(uv_loop_init(&server->loop), "loop");
    server->loop.data = server;
    check(uv_tcp_init(&server->loop, &server->listener), "listener");
    check(uv_tcp_bind(&server->listener, (struct sockaddr *)&where, 0), "bind");
    check(uv_listen((uv_stream_t *)&server->listener, BACKLOG, on_connection),
          "listen");
    print_address(&server->listener);
    uv_run(&server->loop, UV_RUN_DEFAULT);
}

#endif
