/*
 * log_sink.c - the queue of a sink, and the thread that empties it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "host.h"
#include "log_sink.h"

enum { STACK_SIZE = 256 * 1024 }; /* for getaddrinfo() */

static const uint64_t grace = 100 * 1000000; /* for a thread to end */

/* ---- making and freeing ------------------------------------------------- */

int ahost__log_sink_pipe(int ends[2]) {
    return pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0 ? 0 : -errno;
}

ahost__log_sink *ahost__log_sink_new(const ahost__log_sink_type *type,
                                     const char *name) {
    ahost__log_sink *sink = calloc(1, type->size);
    if (sink == NULL)
        return NULL;
    sink->type = type;
    sink->name = strdup(name);
    sink->references = 1;
    sink->last = &sink->first;
    sink->max_records = AHOST__LOG_RECORDS;
    sink->max_bytes = AHOST__LOG_BYTES;
    if (sink->name == NULL || ahost__log_sink_pipe(sink->wake) != 0) {
        free(sink->name);
        free(sink);
        return NULL;
    }
    uv_mutex_init(&sink->mutex);
    uv_cond_init(&sink->changed);
    return sink;
}

static void free_lines(ahost__log_line *line) {
    while (line != NULL) {
        ahost__log_line *next = line->next;
        free(line);
        line = next;
    }
}

static void free_sink(ahost__log_sink *sink) {
    sink->type->close(sink);
    free_lines(sink->first);
    close(sink->wake[0]);
    close(sink->wake[1]);
    uv_cond_destroy(&sink->changed);
    uv_mutex_destroy(&sink->mutex);
    ahost__log_format_free(&sink->format);
    free(sink->name);
    free(sink);
}

/* Whoever comes last frees it. Unlocks it. */
static void unref(ahost__log_sink *sink) {
    int last = --sink->references == 0;
    uv_mutex_unlock(&sink->mutex);
    if (last)
        free_sink(sink);
}

/* ---- reports ------------------------------------------------------------ */

/* With the sink locked. */
static void report(ahost__log_sink *sink, int level, const char *text) {
    snprintf(sink->report.text, sizeof(sink->report.text), "%s: %s", sink->name,
             text);
    sink->report.level = level;
    if (sink->async != NULL)
        uv_async_send(sink->async);
}

/* "dropped 3 records", behind a prefix. */
static void add_dropped(char *text, size_t size, const char *prefix,
                        uint64_t count) {
    snprintf(text, size, "%sdropped %llu record%s", prefix,
             (unsigned long long)count, count == 1 ? "" : "s");
}

/* With the sink locked. What was not told yet stays in front. */
static void report_end(ahost__log_sink *sink) {
    char text[100];
    size_t size = strlen(sink->report.text);
    if (sink->untold == 0)
        return;
    add_dropped(text, sizeof(text), "at the end ", sink->untold);
    if (sink->report.level == 0)
        report(sink, AHOST_LOG_ERROR, text);
    else
        snprintf(sink->report.text + size, sizeof(sink->report.text) - size,
                 "; %s", text);
}

void ahost__log_sink_fails(ahost__log_sink *sink, const char *format, ...) {
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    uv_mutex_lock(&sink->mutex);
    if (!sink->troubled) {
        sink->troubled = 1;
        sink->troubled_dropped = sink->dropped;
        report(sink, AHOST_LOG_ERROR, text);
    }
    uv_mutex_unlock(&sink->mutex);
}

void ahost__log_sink_works(ahost__log_sink *sink) {
    char text[100];
    uv_mutex_lock(&sink->mutex);
    if (sink->troubled) {
        sink->troubled = 0;
        add_dropped(text, sizeof(text), "works again, ",
                    sink->dropped - sink->troubled_dropped);
        report(sink, AHOST_LOG_WARNING, text);
    }
    uv_mutex_unlock(&sink->mutex);
}

int ahost__log_sink_take_report(ahost__log_sink *sink,
                                ahost__log_report *taken) {
    uv_mutex_lock(&sink->mutex);
    *taken = sink->report;
    sink->report.level = 0;
    uv_mutex_unlock(&sink->mutex);
    return taken->level != 0;
}

/* ---- the writer's thread ------------------------------------------------ */

static void drain_wake(ahost__log_sink *sink) {
    char bytes[64];
    while (read(sink->wake[0], bytes, sizeof(bytes)) > 0)
        continue;
}

/* With the sink locked; unlocked meanwhile. */
static void sleep_until_woken(ahost__log_sink *sink) {
    struct pollfd wake = {.fd = sink->wake[0], .events = POLLIN};
    sink->sleeping = 1;
    uv_mutex_unlock(&sink->mutex);
    poll(&wake, 1, -1);
    drain_wake(sink);
    uv_mutex_lock(&sink->mutex);
    sink->sleeping = 0;
}

int ahost__log_sink_closing(ahost__log_sink *sink) {
    int closing;
    uv_mutex_lock(&sink->mutex);
    closing = sink->closing;
    uv_mutex_unlock(&sink->mutex);
    return closing;
}

int ahost__log_sink_wait(ahost__log_sink *sink, int fd, short events, int ms) {
    struct pollfd fds[2] = {{.fd = sink->wake[0], .events = POLLIN},
                            {.fd = fd, .events = events}};
    uint64_t now = uv_hrtime();
    int goes_on;
    uv_mutex_lock(&sink->mutex);
    goes_on = !sink->closing || now < sink->give_up;
    if (sink->closing && goes_on &&
        (uint64_t)ms * 1000000 > sink->give_up - now)
        ms = (int)((sink->give_up - now) / 1000000) + 1;
    uv_mutex_unlock(&sink->mutex);
    if (!goes_on)
        return 0;
    poll(fds, 2, ms);
    if (fds[0].revents != 0)
        drain_wake(sink);
    return 1;
}

/* Writes in the sink that some have been dropped. */
static void tell_dropped(ahost__log_sink *sink) {
    struct timeval now;
    char text[64];
    ahost__log_record record = {
        .level = AHOST_LOG_WARNING, .logger = "ahost.log", .text = text};
    ahost__log_line *line;
    uint64_t untold;
    uv_mutex_lock(&sink->mutex);
    untold = sink->untold;
    sink->untold = 0;
    uv_mutex_unlock(&sink->mutex);
    if (untold == 0)
        return;
    gettimeofday(&now, NULL);
    record.time = (double)now.tv_sec + (double)now.tv_usec / 1e6;
    add_dropped(text, sizeof(text), "", untold);
    line = ahost__log_format_line(&sink->format, &record);
    if (line != NULL && sink->type->write(sink, line) == 1)
        untold = 0;
    free(line);
    uv_mutex_lock(&sink->mutex);
    sink->untold += untold;
    uv_mutex_unlock(&sink->mutex);
}

/* With the sink locked. */
static void count_pending(ahost__log_sink *sink, size_t more) {
    if (sink->pending != NULL)
        __atomic_add_fetch(sink->pending, more, __ATOMIC_SEQ_CST);
}

/* With the sink locked; unlocked while it writes. */
static void write_queue(ahost__log_sink *sink) {
    ahost__log_line *lines = sink->first;
    size_t records = sink->records, bytes = sink->bytes, written;
    sink->first = NULL;
    sink->last = &sink->first;
    uv_mutex_unlock(&sink->mutex);
    written = sink->type->write(sink, lines);
    free_lines(lines);
    uv_mutex_lock(&sink->mutex);
    sink->dropped += records - written;
    sink->untold += records - written;
    uv_mutex_unlock(&sink->mutex);
    if (written == records)
        tell_dropped(sink);
    uv_mutex_lock(&sink->mutex);
    sink->records -= records;
    sink->bytes -= bytes;
    count_pending(sink, -records);
    uv_cond_broadcast(&sink->changed);
}

static void rotate(ahost__log_sink *sink) {
    sink->rotating = 0;
    uv_mutex_unlock(&sink->mutex);
    if (sink->type->rotate != NULL)
        sink->type->rotate(sink);
    uv_mutex_lock(&sink->mutex);
}

static void run(void *data) {
    ahost__log_sink *sink = data;
    uv_mutex_lock(&sink->mutex);
    for (;;) {
        if (sink->rotating)
            rotate(sink);
        else if (sink->first != NULL)
            write_queue(sink);
        else if (sink->closing)
            break;
        else
            sleep_until_woken(sink);
    }
    report_end(sink);
    sink->ended = 1;
    uv_cond_broadcast(&sink->changed);
    unref(sink);
}

/* With the sink locked. Process signals are for other threads. */
static int start(ahost__log_sink *sink) {
    uv_thread_options_t options = {UV_THREAD_HAS_STACK_SIZE, STACK_SIZE};
    sigset_t all, before;
    int err;
    if (sink->started)
        return 1;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    sink->references++;
    err = uv_thread_create_ex(&sink->thread, &options, run, sink);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    sink->started = err == 0;
    sink->references -= err != 0;
    return sink->started;
}

/* With the sink locked. */
static void wake(ahost__log_sink *sink) {
    ssize_t ignored;
    if (!sink->sleeping)
        return;
    sink->sleeping = 0;
    ignored = write(sink->wake[1], "", 1);
    (void)ignored;
}

/* ---- the host's side ---------------------------------------------------- */

/* Cuts off what has been written already. */
static void cut_front(ahost__log_line *line, size_t written) {
    line->size -= written;
    memmove(line->bytes, line->bytes + written, line->size);
}

/* With the sink locked. -> whether it was queued */
static int append(ahost__log_sink *sink, ahost__log_line *line) {
    if (sink->records >= sink->max_records ||
        sink->bytes + line->size > sink->max_bytes || !start(sink))
        return 0;
    *sink->last = line;
    sink->last = &line->next;
    sink->records++;
    sink->bytes += line->size;
    count_pending(sink, 1);
    wake(sink);
    return 1;
}

/* With the sink locked. -> whether the line has found its place */
static int take(ahost__log_sink *sink, ahost__log_line *line) {
    if (line == NULL)
        return 0;
    if (sink->type->write_now != NULL && sink->records == 0) {
        size_t written = sink->type->write_now(sink, line);
        if (written == line->size) {
            free(line);
            return 1;
        }
        cut_front(line, written);
    }
    return append(sink, line);
}

void ahost__log_sink_write(ahost__log_sink *sink,
                           const ahost__log_record *record) {
    ahost__log_line *line;
    if (record->level < sink->level)
        return;
    line = ahost__log_format_line(&sink->format, record);
    uv_mutex_lock(&sink->mutex);
    if (!take(sink, line)) {
        sink->dropped++;
        sink->untold++;
        free(line);
    }
    uv_mutex_unlock(&sink->mutex);
}

void ahost__log_sink_rotate(ahost__log_sink *sink) {
    uv_mutex_lock(&sink->mutex);
    sink->rotating = sink->type->rotate != NULL && start(sink);
    wake(sink);
    uv_mutex_unlock(&sink->mutex);
}

void ahost__log_sink_detach(ahost__log_sink *sink) {
    uv_mutex_lock(&sink->mutex);
    sink->async = NULL;
    uv_mutex_unlock(&sink->mutex);
}

/* With the sink locked. Nobody waits for it any more. */
static void forget(ahost__log_sink *sink) {
    sink->async = NULL;
    count_pending(sink, -sink->records);
    sink->pending = NULL;
    if (sink->started)
        pthread_detach(sink->thread);
}

/* ---- the end ------------------------------------------------------------ */

void ahost__log_sink_end(ahost__log_sink *sink, uint64_t give_up) {
    ssize_t ignored;
    uv_mutex_lock(&sink->mutex);
    sink->closing = 1;
    sink->give_up = give_up;
    ignored = write(sink->wake[1], "", 1); /* also where a type waits */
    (void)ignored;
    uv_mutex_unlock(&sink->mutex);
}

/* With the sink locked. -> whether the thread has ended */
static int wait_for_end(ahost__log_sink *sink) {
    uint64_t until = sink->give_up + grace, now = uv_hrtime();
    while (!sink->ended && now < until) {
        uv_cond_timedwait(&sink->changed, &sink->mutex, until - now);
        now = uv_hrtime();
    }
    return sink->ended;
}

void ahost__log_sink_join(ahost__log_sink *sink, ahost__log_report *taken) {
    uv_mutex_lock(&sink->mutex);
    if (sink->started && wait_for_end(sink)) {
        uv_mutex_unlock(&sink->mutex);
        uv_thread_join(&sink->thread);
        uv_mutex_lock(&sink->mutex);
    } else {
        forget(sink);
    }
    *taken = sink->report;
    if (sink->started && !sink->ended) {
        taken->level = AHOST_LOG_ERROR;
        snprintf(taken->text, sizeof(taken->text),
                 "%s: does not take its records; at the end dropped %zu",
                 sink->name, sink->records);
    }
    unref(sink);
}

void ahost__log_sink_release(ahost__log_sink *sink) {
    uv_mutex_lock(&sink->mutex);
    forget(sink);
    unref(sink);
}
