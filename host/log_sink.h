/*
 * log_sink.h - sinks: where formatted log records are written, each by a thread
 * of its own behind a bounded queue.
 *
 * A terminal that nobody reads, a full disk, a server that has stopped: none of
 * them holds up the loop, nor another sink. A sink that is stuck in the kernel
 * when the host ends is left to its thread, which frees it.
 *
 * Sinks are malloc'ed: the host's count of memory is for its own thread only.
 * Queues are bounded on their own.
 */
#ifndef AHOST_LOG_SINK_H
#define AHOST_LOG_SINK_H

#include <uv.h>

#include "log_format.h"

typedef struct ahost__log_sink_type {
    size_t size; /* of the struct that begins with a sink */
    /* In the writer's thread: writes lines in order and returns how many; the
     * others are dropped. When the sink is closing it does not wait any longer
     * than ahost__log_sink_wait says. */
    size_t (*write)(ahost__log_sink *sink, ahost__log_line *lines);
    /* In the host's thread, with the sink locked and its queue empty: writes
     * what can be written at once. -> bytes. NULL: nothing can */
    size_t (*write_now)(ahost__log_sink *sink, const ahost__log_line *line);
    /* In the writer's thread: rotates, or NULL. */
    void (*rotate)(ahost__log_sink *sink);
    /* Closes files and frees what belongs to the type. */
    void (*close)(ahost__log_sink *sink);
} ahost__log_sink_type;

/* What has become of a sink, for the host to tell. */
typedef struct ahost__log_report {
    int level; /* 0: nothing */
    char text[512];
} ahost__log_report;

struct ahost__log_sink {
    const ahost__log_sink_type *type;
    ahost__log_format format;
    char *name;         /* "file /var/log/app.log" */
    int level;          /* records below it do not come here */
    int is_console;     /* of this process: reports go there, too */
    size_t max_records; /* in the queue */
    size_t max_bytes;

    uv_mutex_t mutex; /* for all that follows */
    uv_cond_t changed;
    uv_thread_t thread;
    int wake[2];    /* a pipe */
    int references; /* the host's and the thread's */
    int started, sleeping, ended;
    int rotating;     /* somebody wants it to rotate */
    int closing;      /* it ends when its queue is empty, or at */
    uint64_t give_up; /* uv_hrtime() */
    ahost__log_line *first, **last;
    size_t records, bytes; /* in the queue and being written */
    uint64_t dropped;      /* in all */
    uint64_t untold;       /* of those, not told in the sink yet */
    int troubled;
    uint64_t troubled_dropped; /* dropped when the trouble began */
    ahost__log_report report;  /* the newest, not told yet */
    uv_async_t *async;         /* hears of reports; NULL: nobody */
    size_t *pending; /* all records of the host that are not written; atomic */
};

enum { AHOST__LOG_RECORDS = 10000, AHOST__LOG_BYTES = 4 * 1024 * 1024 };

/* A new sink without a format, or NULL. */
ahost__log_sink *ahost__log_sink_new(const ahost__log_sink_type *type,
                                     const char *name);

/* In the host's thread: hands over a record. Never blocks. */
void ahost__log_sink_write(ahost__log_sink *sink,
                           const ahost__log_record *record);

void ahost__log_sink_rotate(ahost__log_sink *sink);

/* Nobody hears of reports any more. */
void ahost__log_sink_detach(ahost__log_sink *sink);

/* Asks the sink to end, at `give_up` at the latest. */
void ahost__log_sink_end(ahost__log_sink *sink, uint64_t give_up);

/* Waits for the end until shortly after `give_up`, and frees the sink if it has
 * come, else leaves it to its thread. Takes the last report. */
void ahost__log_sink_join(ahost__log_sink *sink, ahost__log_report *report);

/* Frees it without waiting, in its own time. */
void ahost__log_sink_release(ahost__log_sink *sink);

/* Takes the report. -> whether there was one */
int ahost__log_sink_take_report(ahost__log_sink *sink,
                                ahost__log_report *report);

/* ---- for types, in the writer's thread ---------------------------------- */

/* Waits for events of a descriptor (-1: of none) or `ms` milliseconds, or until
 * the sink is to end. -> whether there is time left to go on */
int ahost__log_sink_wait(ahost__log_sink *sink, int fd, short events, int ms);

int ahost__log_sink_closing(ahost__log_sink *sink);

/* The sink does not work any more, or does again. Told once. */
void ahost__log_sink_fails(ahost__log_sink *sink, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void ahost__log_sink_works(ahost__log_sink *sink);

/* Makes a pipe whose ends block nobody: 0 or a code. */
int ahost__log_sink_pipe(int ends[2]);

/* ---- types -------------------------------------------------------------- */

/* Standard error or another descriptor, which stays open. */
ahost__log_sink *ahost__log_console_new(int fd);

/* What a file is to be. Sizes in bytes, times in seconds; 0: never. */
typedef struct ahost__log_file_options {
    const char *path;
    int backup_count;
    size_t max_size;
    double rotate_every;
} ahost__log_file_options;

/* Opens it. NULL: `*err` is a code. */
ahost__log_sink *ahost__log_file_new(const ahost__log_file_options *options,
                                     int *err);

typedef enum ahost__log_transport {
    AHOST__LOG_UDP,
    AHOST__LOG_TCP,
    AHOST__LOG_UNIX,       /* datagrams */
    AHOST__LOG_UNIX_STREAM /* framed as on TCP */
} ahost__log_transport;

typedef struct ahost__log_syslog_options {
    ahost__log_transport transport;
    const char *host; /* or the path */
    const char *port;
    int newlines; /* end messages of streams in place of octet counts */
} ahost__log_syslog_options;

/* Connects when there is something to send. */
ahost__log_sink *
ahost__log_syslog_new(const ahost__log_syslog_options *options);

#endif
