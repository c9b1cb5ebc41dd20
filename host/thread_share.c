/*
 * thread_share.c - what the threads of a host share: the way to wake the loop,
 * the list of channels, and log records on their way to the host.
 */
#include <stdlib.h>
#include <string.h>

#include "host.h"
#include "log.h"
#include "thread.h"

enum { MOST_RECORDS = 1000 }; /* that wait for the host */

struct ahost__thread_record {
    ahost__thread_record *next;
    int level;
    size_t data_size;
    double time;
    const char *logger, *text, *json; /* in `bytes` */
    char bytes[];
};

/* ---- waking the host ---------------------------------------------------- */

static void on_wake(uv_async_t *wake) {
    ahost__threads *threads = wake->data;
    ahost *h = threads->host;
    ahost__threads_attend(threads);
    ahost__ready_run(h);
}

void ahost__threads_wake(ahost__threads *threads, ahost__channel *channel) {
    uv_mutex_lock(&threads->mutex);
    if (threads->wake != NULL && ahost__channel_mark(channel, &threads->woken))
        uv_async_send(threads->wake);
    uv_mutex_unlock(&threads->mutex);
}

static ahost__channel *take_woken(ahost__threads *threads) {
    ahost__channel *channel;
    uv_mutex_lock(&threads->mutex);
    channel = ahost__channel_shift(&threads->woken);
    uv_mutex_unlock(&threads->mutex);
    return channel;
}

/* ---- records ------------------------------------------------------------ */

/* Copies a string behind those that are there. NULL stays NULL. */
static const char *append(char **end, const char *text) {
    char *copy = *end;
    if (text == NULL)
        return NULL;
    *end = stpcpy(copy, text) + 1;
    return copy;
}

static size_t size_of(const char *text) {
    return text != NULL ? strlen(text) + 1 : 0;
}

static double wall_time(void) {
    uv_timeval64_t now;
    uv_gettimeofday(&now);
    return (double)now.tv_sec + now.tv_usec / 1e6;
}

static ahost__thread_record *make_record(int level, const char *logger,
                                         const char *text, const char *json) {
    ahost__thread_record *record = malloc(sizeof(*record) + size_of(logger) +
                                          size_of(text) + size_of(json));
    char *end;
    if (record == NULL)
        return NULL;
    end = record->bytes;
    record->next = NULL;
    record->level = level;
    record->time = wall_time();
    record->logger = append(&end, logger);
    record->text = append(&end, text);
    record->json = append(&end, json);
    return record;
}

/* With the lock. Takes the record over; false when there is no room. */
static int keep(ahost__threads *threads, ahost__thread_record *record) {
    if (threads->wake == NULL)
        return 0;
    if (record == NULL || threads->record_count == MOST_RECORDS) {
        threads->dropped_records++;
        return 0;
    }
    *threads->last_record = record;
    threads->last_record = &record->next;
    threads->record_count++;
    uv_async_send(threads->wake);
    return 1;
}

void ahost__threads_log(ahost__threads *threads, int level, const char *logger,
                        const char *text, size_t data_size, const char *json) {
    ahost__thread_record *record = make_record(level, logger, text, json);
    int kept;
    if (record != NULL)
        record->data_size = data_size;
    uv_mutex_lock(&threads->mutex);
    kept = keep(threads, record);
    uv_mutex_unlock(&threads->mutex);
    if (!kept)
        free(record);
}

static ahost__thread_record *take_records(ahost__threads *threads,
                                          size_t *dropped) {
    ahost__thread_record *first;
    uv_mutex_lock(&threads->mutex);
    first = threads->records;
    threads->records = NULL;
    threads->last_record = &threads->records;
    threads->record_count = 0;
    *dropped = threads->dropped_records;
    threads->dropped_records = 0;
    uv_mutex_unlock(&threads->mutex);
    return first;
}

static void write_record(ahost *h, const ahost__thread_record *record) {
    ahost__log_record written = {.level = record->level,
                                 .logger = record->logger,
                                 .text = record->text,
                                 .data_size = record->data_size,
                                 .json = record->json,
                                 .time = record->time};
    if (ahost__log_wants(h, record->logger, record->level))
        ahost__log_write(h, &written);
}

static void write_records(ahost__threads *threads) {
    size_t dropped;
    ahost__thread_record *record = take_records(threads, &dropped);
    while (record != NULL) {
        ahost__thread_record *next = record->next;
        write_record(threads->host, record);
        free(record);
        record = next;
    }
    if (dropped > 0)
        ahost__log(threads->host, AHOST_LOG_WARNING, "ahost.thread",
                   "%zu log records of threads were dropped: they came faster "
                   "than they could be written",
                   dropped);
}

/* ---- the whole ---------------------------------------------------------- */

void ahost__threads_attend(ahost__threads *threads) {
    ahost__channel *channel;
    write_records(threads);
    while ((channel = take_woken(threads)) != NULL) {
        ahost__channel_attend(channel);
        ahost__channel_unref(channel);
    }
}

static void on_closed(uv_handle_t *wake) {
    free(wake);
}

static int open_wake(ahost__threads *threads, ahost *h) {
    uv_async_t *wake = malloc(sizeof(*wake));
    if (wake == NULL || uv_async_init(h->loop, wake, on_wake) != 0) {
        free(wake);
        return 0;
    }
    wake->data = threads;
    uv_unref((uv_handle_t *)wake);
    threads->wake = wake;
    return 1;
}

static ahost__threads *open_threads(ahost *h) {
    ahost__threads *threads = calloc(1, sizeof(*threads));
    if (threads == NULL || !open_wake(threads, h)) {
        free(threads);
        return NULL;
    }
    uv_mutex_init(&threads->mutex);
    ahost__list_init(&threads->channels);
    ahost__list_init(&threads->woken);
    ahost__list_init(&threads->doomed);
    threads->last_record = &threads->records;
    threads->references = 1; /* the host's */
    threads->host = h;
    return threads;
}

ahost__threads *ahost__threads_get(ahost *h) {
    if (h->threads == NULL && !h->finished)
        h->threads = open_threads(h);
    if (h->threads != NULL)
        __atomic_add_fetch(&h->threads->references, 1, __ATOMIC_RELAXED);
    return h->threads;
}

void ahost__threads_unref(ahost__threads *threads) {
    if (__atomic_sub_fetch(&threads->references, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    uv_mutex_destroy(&threads->mutex);
    free(threads);
}

/* Values in a channel may refer to others, in a circle. */
static void empty_channels(ahost__threads *threads) {
    for (;;) {
        ahost__channel *channel;
        uv_mutex_lock(&threads->mutex);
        channel = ahost__channel_next(&threads->channels);
        uv_mutex_unlock(&threads->mutex);
        if (channel == NULL)
            return;
        ahost__channel_close(channel, 1);
        ahost__channel_unref(channel);
    }
}

void ahost__threads_detach(ahost *h) {
    ahost__threads *threads = h->threads;
    uv_async_t *wake;
    if (threads == NULL)
        return;
    uv_mutex_lock(&threads->mutex);
    wake = threads->wake;
    threads->wake = NULL;
    uv_mutex_unlock(&threads->mutex);
    ahost__threads_attend(threads);
    empty_channels(threads);
    uv_close((uv_handle_t *)wake, on_closed);
}

void ahost__threads_free(ahost *h) {
    if (h->threads != NULL)
        ahost__threads_unref(h->threads);
    h->threads = NULL;
}

int ahost__threads_have(const ahost *h, const uv_handle_t *handle) {
    return h->threads != NULL && handle == (uv_handle_t *)h->threads->wake;
}

size_t ahost__threads_blocked(const ahost *h) {
    if (h->threads == NULL)
        return 0;
    return __atomic_load_n(&h->threads->blocked, __ATOMIC_ACQUIRE);
}
