/*
 * file_stream.c - the transport of what no poll can watch: regular files,
 * /dev/null, and other devices.
 */
#include "file_stream.h"

#include <string.h>
#include <unistd.h>

static const size_t chunk = 65536; /* bytes of one read */

static ahost__file_stream *file_of(ahost__stream *s) {
    return ahost__container_of(s, ahost__file_stream, stream);
}

/* Closed, with no request under way: lets go. */
static void finish_close(ahost__file_stream *f) {
    if (!f->closes || f->buffer != NULL || f->writes)
        return;
    close(f->fd);
    ahost__stream_released(&f->stream);
}

/* ---- reading ------------------------------------------------------------ */

static void on_read(uv_fs_t *request);

/* 0 or a code. */
static int read_chunk(ahost__file_stream *f) {
    ahost *h = f->stream.host;
    uv_buf_t buf;
    int err;
    f->buffer = ahost__resize(h, NULL, 0, chunk);
    if (f->buffer == NULL)
        return UV_ENOMEM;
    buf = uv_buf_init(f->buffer, (unsigned)chunk);
    err = uv_fs_read(h->loop, &f->read, f->fd, &buf, 1, -1, on_read);
    if (err >= 0)
        return 0;
    ahost__free(h, f->buffer, chunk);
    f->buffer = NULL;
    return err;
}

/* Hands on what came. What was read after read_stop is kept all the same. */
static void hand_on(ahost__stream *s, char *data, ssize_t size) {
    if (size > 0)
        ahost__stream_received(s, data, (size_t)size, 0);
    else
        ahost__stream_received(s, NULL, 0, size == 0 ? UV_EOF : (int)size);
}

static void on_read(uv_fs_t *request) {
    ahost__file_stream *f =
        ahost__container_of(request, ahost__file_stream, read);
    ahost *h = f->stream.host;
    char *data = f->buffer;
    ssize_t size = request->result;
    int err = 0;
    uv_fs_req_cleanup(request);
    if (!f->closes)
        hand_on(&f->stream, data, size);
    f->buffer = NULL;
    ahost__free(h, data, chunk);
    if (f->closes)
        finish_close(f);
    else if (f->reads_on)
        err = read_chunk(f);
    if (err != 0)
        ahost__stream_received(&f->stream, NULL, 0, err);
}

static int read_start(ahost__stream *s) {
    ahost__file_stream *f = file_of(s);
    int err = f->buffer == NULL ? read_chunk(f) : 0;
    f->reads_on = err == 0;
    return err;
}

static void read_stop(ahost__stream *s) {
    file_of(s)->reads_on = 0;
}

/* ---- writing ------------------------------------------------------------ */

/* A write may take a while on any file. */
static int try_write(ahost__stream *s, const uv_buf_t *bufs, unsigned count) {
    (void)s, (void)bufs, (void)count;
    return UV_EAGAIN;
}

static void on_write(uv_fs_t *request);

static int write_on(ahost__file_stream *f) {
    int err = uv_fs_write(f->stream.host->loop, &f->write, f->fd, f->bufs,
                          f->count, -1, on_write);
    f->writes = err >= 0;
    return err < 0 ? err : 0;
}

/* Takes what has been written off the buffers. */
static void advance(ahost__file_stream *f, size_t size) {
    unsigned done = 0;
    while (done < f->count && size >= f->bufs[done].len)
        size -= f->bufs[done++].len;
    f->count -= done;
    memmove(f->bufs, f->bufs + done, f->count * sizeof(f->bufs[0]));
    if (f->count > 0) {
        f->bufs[0].base += size;
        f->bufs[0].len -= size;
    }
}

static void on_write(uv_fs_t *request) {
    ahost__file_stream *f =
        ahost__container_of(request, ahost__file_stream, write);
    ssize_t size = request->result;
    int err = size > 0 ? 0 : size == 0 ? UV_EIO : (int)size;
    uv_fs_req_cleanup(request);
    f->writes = 0;
    if (err == 0)
        advance(f, (size_t)size);
    if (err == 0 && f->count > 0 && !f->closes)
        err = write_on(f);
    if (f->writes)
        return;
    if (f->closes) {
        ahost__stream_written(&f->stream, AHOST__CLOSED);
        finish_close(f);
    } else {
        ahost__stream_written(&f->stream, err);
    }
}

static int write_all(ahost__stream *s, const uv_buf_t *bufs, unsigned count) {
    ahost__file_stream *f = file_of(s);
    memcpy(f->bufs, bufs, count * sizeof(bufs[0]));
    f->count = count;
    return write_on(f);
}

/* A file has no end to be told of. */
static int shutdown_output(ahost__stream *s) {
    (void)s;
    return 0;
}

/* ---- closing ------------------------------------------------------------ */

/* A request that a thread works on cannot be taken back. */
static void close_file(ahost__stream *s, int reset) {
    ahost__file_stream *f = file_of(s);
    (void)reset;
    f->closes = 1;
    f->reads_on = 0;
    if (f->buffer != NULL)
        uv_cancel((uv_req_t *)&f->read);
    if (f->writes)
        uv_cancel((uv_req_t *)&f->write);
    finish_close(f);
}

const ahost__transport ahost__file_transport = {
    "file",    read_start,      read_stop, try_write,
    write_all, shutdown_output, close_file};
