/*
 * uv_stream.c - the transport of sockets, pipes and terminals: libuv's streams.
 */
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stream.h"

static ahost__stream *stream_of(void *handle) {
    return ahost__container_of(handle, ahost__stream, uv);
}

/* ---- reading ------------------------------------------------------------ */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
    (void)suggested;
    buf->base = stream_of(handle)->host->read_buffer;
    buf->len = AHOST__READ_BUFFER;
}

/* libuv takes a hang-up behind the last bytes for the end, although it may be
 * a reset; the socket knows. */
static int end_of(const ahost__stream *s, int error) {
    int pending = 0;
    socklen_t size = sizeof(pending);
    uv_os_fd_t fd;
    if (error == UV_EOF && uv_fileno(&s->uv.handle, &fd) == 0 &&
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &pending, &size) == 0 &&
        pending != 0)
        return uv_translate_sys_error(pending);
    return error;
}

static void on_read(uv_stream_t *handle, ssize_t size, const uv_buf_t *buf) {
    ahost__stream *s = stream_of(handle);
    if (size > 0)
        ahost__stream_received(s, buf->base, (size_t)size, 0);
    else if (size < 0)
        ahost__stream_received(s, NULL, 0, end_of(s, (int)size));
}

static int read_start(ahost__stream *s) {
    return uv_read_start(&s->uv.stream, on_alloc, on_read);
}

static void read_stop(ahost__stream *s) {
    uv_read_stop(&s->uv.stream);
}

/* ---- writing ------------------------------------------------------------ */

static int try_write(ahost__stream *s, const uv_buf_t *bufs, unsigned count) {
    return uv_try_write(&s->uv.stream, bufs, count);
}

static void on_written(uv_write_t *request, int status) {
    ahost__stream *s = request->data;
    s->host->socket_requests--;
    ahost__free(s->host, request, sizeof(*request));
    ahost__stream_written(s, status);
}

static int write_all(ahost__stream *s, const uv_buf_t *bufs, unsigned count) {
    uv_write_t *request = ahost__alloc(s->host, sizeof(*request));
    int err;
    if (request == NULL)
        return UV_ENOMEM;
    request->data = s;
    err = uv_write(request, &s->uv.stream, bufs, count, on_written);
    if (err != 0)
        ahost__free(s->host, request, sizeof(*request));
    else
        s->host->socket_requests++;
    return err;
}

static void on_shutdown(uv_shutdown_t *request, int status) {
    ahost__stream *s = request->data;
    (void)status; /* a peer that is gone already shows when reading */
    s->host->socket_requests--;
    ahost__free(s->host, request, sizeof(*request));
}

static int shutdown_output(ahost__stream *s) {
    uv_shutdown_t *request = ahost__alloc(s->host, sizeof(*request));
    int err;
    if (request == NULL)
        return UV_ENOMEM;
    request->data = s;
    err = uv_shutdown(request, &s->uv.stream, on_shutdown);
    if (err != 0)
        ahost__free(s->host, request, sizeof(*request));
    else
        s->host->socket_requests++;
    return err;
}

/* ---- closing ------------------------------------------------------------ */

static void on_closed(uv_handle_t *handle) {
    ahost__stream_released(stream_of(handle));
}

static void close_handle(ahost__stream *s, int reset) {
    if (reset && s->uv.handle.type == UV_TCP &&
        uv_tcp_close_reset(&s->uv.tcp, on_closed) == 0)
        return;
    uv_close(&s->uv.handle, on_closed);
}

const ahost__transport ahost__uv_transport = {
    "socket",  read_start,      read_stop,   try_write,
    write_all, shutdown_output, close_handle};

/* A pipe has one direction, whose end is that of all. */
static int shutdown_pipe(ahost__stream *s) {
    ahost__stream_close(s, 0);
    return 0;
}

const ahost__transport ahost__pipe_transport = {
    "pipe",    read_start,    read_stop,   try_write,
    write_all, shutdown_pipe, close_handle};

/* ---- opening ------------------------------------------------------------ */

static size_t handle_size(uv_handle_type type) {
    return type == UV_TCP ? sizeof(uv_tcp_t) : sizeof(uv_pipe_t);
}

ahost__stream *ahost__uv_stream_new(ahost *h, uv_handle_type type, int *err) {
    ahost__stream *s =
        ahost__stream_new(h, &ahost__uv_transport,
                          offsetof(ahost__stream, uv) + handle_size(type));
    *err = UV_ENOMEM;
    if (s == NULL)
        return NULL;
    *err = type == UV_TCP ? uv_tcp_init(h->loop, &s->uv.tcp)
                          : uv_pipe_init(h->loop, &s->uv.pipe, 0);
    if (*err == 0)
        return s;
    s->releasing = 1;
    ahost__stream_released(s);
    return NULL;
}

ahost__stream *ahost__uv_stream_open(ahost *h, uv_handle_type type, int fd,
                                     int *err) {
    ahost__stream *s = ahost__uv_stream_new(h, type, err);
    if (s == NULL) {
        close(fd);
        return NULL;
    }
    *err = type == UV_TCP ? uv_tcp_open(&s->uv.tcp, fd)
                          : uv_pipe_open(&s->uv.pipe, fd);
    if (*err == 0)
        return s;
    close(fd);
    ahost__stream_release(s, 0);
    return NULL;
}
