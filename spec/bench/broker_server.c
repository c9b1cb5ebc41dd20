/*
 * The reference for the broker rows: the message broker of the asyncio book in
 * plain C on libuv.
 *
 *     bench_broker_server [HOST:PORT]
 *
 * A frame is a 4-byte big-endian length and as many bytes. The first frame of
 * a client names the channel that it subscribes to; then come pairs of frames,
 * channel and data. Data for `/queue...` go to one subscriber in turn, others
 * to all, with one write per message and subscriber. A message for a channel
 * that has no subscriber, or one that does not keep up, waits, and with it the
 * client that sent it.
 */
#include "server.h"

#include <stdbool.h>
#include <stdint.h>

#define FRAME_LIMIT (1 << 20)
#define HIGH_WATER 65536
#define BUCKETS 256

struct connection {
    uv_tcp_t tcp;
    struct channel *channel;   /* subscribed to, NULL before the first frame */
    struct channel *waits_for; /* its next message cannot be delivered yet */
    struct connection *next_waiter;
    bool congested; /* above HIGH_WATER; counted in its channel */
    char *pending;  /* input that is not a whole pair yet, or has to wait */
    size_t length;
    size_t capacity;
};

struct channel {
    struct channel *next; /* in its bucket */
    struct connection **subscribers;
    size_t count;
    size_t capacity;
    size_t turn;      /* whose turn it is in a queue */
    size_t congested; /* subscribers above HIGH_WATER */
    struct connection *waiters;
    bool is_queue;
    size_t length;
    char name[];
};

struct broker {
    struct server server;
    struct channel *buckets[BUCKETS];
};

struct frame {
    const char *data; /* the payload; its header stands before it */
    size_t size;
};

static void on_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf);
static int consume(struct connection *conn, const char *data, size_t size);

/* Channels live as long as the broker. */
static struct channel *channel_find(struct broker *broker,
                                    const struct frame *name) {
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < name->size; i++)
        hash = (hash ^ (unsigned char)name->data[i]) * 16777619u;
    struct channel **bucket = &broker->buckets[hash % BUCKETS];
    for (struct channel *c = *bucket; c != NULL; c = c->next)
        if (c->length == name->size &&
            memcmp(c->name, name->data, name->size) == 0)
            return c;
    struct channel *channel = must_alloc(NULL, sizeof(*channel) + name->size);
    memset(channel, 0, sizeof(*channel));
    memcpy(channel->name, name->data, name->size);
    channel->length = name->size;
    channel->is_queue = name->size >= 6 && memcmp(name->data, "/queue", 6) == 0;
    channel->next = *bucket;
    *bucket = channel;
    return channel;
}

static bool channel_ready(const struct channel *channel) {
    return channel->count > 0 && channel->congested == 0;
}

static void waiter_resume(struct connection *conn) {
    conn->waits_for = NULL;
    int status = consume(conn, NULL, 0);
    if (status < 0)
        on_read((uv_stream_t *)&conn->tcp, status, NULL);
    else if (conn->waits_for == NULL)
        uv_read_start((uv_stream_t *)&conn->tcp, on_alloc, on_read);
}

static void channel_wake(struct channel *channel) {
    while (channel->waiters != NULL && channel_ready(channel)) {
        struct connection *conn = channel->waiters;
        channel->waiters = conn->next_waiter;
        waiter_resume(conn);
    }
}

static void wait_for(struct connection *conn, struct channel *channel) {
    conn->waits_for = channel;
    conn->next_waiter = channel->waiters;
    channel->waiters = conn;
    uv_read_stop((uv_stream_t *)&conn->tcp);
}

static void subscribe(struct connection *conn, struct channel *channel) {
    if (channel->count == channel->capacity) {
        channel->capacity = channel->capacity ? 2 * channel->capacity : 8;
        channel->subscribers =
            must_alloc(channel->subscribers,
                       channel->capacity * sizeof(struct connection *));
    }
    channel->subscribers[channel->count++] = conn;
    conn->channel = channel;
    channel_wake(channel);
}

static void unsubscribe(struct connection *conn) {
    struct channel *channel = conn->channel;
    size_t i = 0;
    while (channel->subscribers[i] != conn)
        i++;
    channel->count--;
    memmove(&channel->subscribers[i], &channel->subscribers[i + 1],
            (channel->count - i) * sizeof(struct connection *));
    channel->congested -= conn->congested;
    conn->channel = NULL;
    channel_wake(channel);
}

/* A subscriber that is gone is noticed by its own read. */
static void deliver(struct connection *conn, const struct frame *message) {
    uv_stream_t *stream = (uv_stream_t *)&conn->tcp;
    send_bytes(stream, message->data - 4, message->size + 4);
    if (!conn->congested &&
        uv_stream_get_write_queue_size(stream) > HIGH_WATER) {
        conn->congested = true;
        conn->channel->congested++;
    }
}

static void publish(struct channel *channel, const struct frame *message) {
    if (channel->is_queue) {
        channel->turn = (channel->turn + 1) % channel->count;
        deliver(channel->subscribers[channel->turn], message);
        return;
    }
    for (size_t i = 0; i < channel->count; i++)
        deliver(channel->subscribers[i], message);
}

/* Takes a frame off the front. Returns the bytes it has, 0 if it is not whole
 * yet, or UV_E2BIG. */
static int take_frame(const char *data, size_t size, struct frame *frame) {
    const unsigned char *head = (const unsigned char *)data;
    if (size < 4)
        return 0;
    frame->size = (size_t)head[0] << 24 | (size_t)head[1] << 16 |
                  (size_t)head[2] << 8 | head[3];
    frame->data = data + 4;
    if (frame->size > FRAME_LIMIT)
        return UV_E2BIG;
    return size - 4 < frame->size ? 0 : (int)frame->size + 4;
}

/* Acts on one whole unit: the subscription or a pair. Returns the bytes used,
 * 0 if there is none or it has to wait, or a negative code. */
static int take_unit(struct connection *conn, const char *data, size_t size) {
    struct broker *broker = (struct broker *)conn->tcp.loop->data;
    struct frame name, message;
    int used = take_frame(data, size, &name);
    if (used <= 0)
        return used;
    if (conn->channel == NULL) {
        subscribe(conn, channel_find(broker, &name));
        return used;
    }
    int more = take_frame(data + used, size - (size_t)used, &message);
    if (more <= 0)
        return more;
    struct channel *channel = channel_find(broker, &name);
    if (!channel_ready(channel)) {
        wait_for(conn, channel);
        return 0;
    }
    publish(channel, &message);
    return used + more;
}

static void keep_pending(struct connection *conn, const char *data,
                         size_t size) {
    size_t length = conn->length + size;
    if (length > conn->capacity) {
        conn->capacity = 2 * length;
        conn->pending = must_alloc(conn->pending, conn->capacity);
    }
    memcpy(conn->pending + conn->length, data, size);
    conn->length = length;
}

/* Handles what is pending and then `data`; what has to wait is kept. */
static int consume(struct connection *conn, const char *data, size_t size) {
    bool kept = conn->length > 0;
    int used;
    if (kept && size > 0)
        keep_pending(conn, data, size);
    if (kept) {
        data = conn->pending;
        size = conn->length;
    }
    while ((used = take_unit(conn, data, size)) > 0) {
        data += used;
        size -= (size_t)used;
    }
    if (kept)
        memmove(conn->pending, data, size);
    else if (size > 0)
        keep_pending(conn, data, size);
    conn->length = size;
    return used;
}

static void on_close(uv_handle_t *handle) {
    struct connection *conn = (struct connection *)handle;
    free(conn->pending);
    free(conn);
}

static void connection_close(struct connection *conn) {
    if (uv_is_closing((uv_handle_t *)&conn->tcp))
        return;
    uv_close((uv_handle_t *)&conn->tcp, on_close);
    if (conn->waits_for != NULL) {
        struct connection **link = &conn->waits_for->waiters;
        while (*link != conn)
            link = &(*link)->next_waiter;
        *link = conn->next_waiter;
    }
    if (conn->channel != NULL)
        unsubscribe(conn);
}

static void on_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf) {
    struct connection *conn = (struct connection *)stream;
    if (nread > 0)
        nread = consume(conn, buf->base, (size_t)nread);
    if (nread < 0)
        connection_close(conn);
}

static void on_sent(uv_stream_t *stream, int status) {
    struct connection *conn = (struct connection *)stream;
    if (status < 0) {
        connection_close(conn);
        return;
    }
    if (conn->congested && uv_stream_get_write_queue_size(stream) == 0) {
        conn->congested = false;
        if (--conn->channel->congested == 0)
            channel_wake(conn->channel);
    }
}

static void on_connection(uv_stream_t *listener, int status) {
    check(status, "accept");
    struct connection *conn = must_alloc(NULL, sizeof(*conn));
    memset(conn, 0, sizeof(*conn));
    check(uv_tcp_init(listener->loop, &conn->tcp), "connection");
    if (uv_accept(listener, (uv_stream_t *)&conn->tcp) < 0) {
        connection_close(conn);
        return;
    }
    uv_tcp_nodelay(&conn->tcp, 1);
    uv_read_start((uv_stream_t *)&conn->tcp, on_alloc, on_read);
}

int main(int argc, char **argv) {
    static struct broker broker = {.server = {.on_sent = on_sent}};
    serve(&broker.server, argc > 1 ? argv[1] : "127.0.0.1:0", on_connection);
    return 0;
}
