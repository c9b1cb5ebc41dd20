/*
 * file_stream.h - the transport of what no poll can watch: regular files,
 * /dev/null, and other devices.
 */
#ifndef AHOST_FILE_STREAM_H
#define AHOST_FILE_STREAM_H

#include "stream.h"

enum { AHOST__FILE_BUFFERS = 64 }; /* of one write */

/* A stream that reads and writes a descriptor in libuv's threads, one request
 * each way at a time, where the descriptor stands. */
typedef struct ahost__file_stream {
    ahost__stream stream;
    int fd;
    uv_fs_t read, write;
    char *buffer; /* of the request that reads; NULL while none does */
    uv_buf_t bufs[AHOST__FILE_BUFFERS]; /* not yet written */
    unsigned count;
    uint8_t writes, reads_on, closes;
} ahost__file_stream;

extern const ahost__transport ahost__file_transport;

#endif
