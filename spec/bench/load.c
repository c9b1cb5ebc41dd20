/*
 * The load of the network rows: as little client as possible, on epoll.
 *
 *     bench_load HOST PORT line|chunk|broker CONNECTIONS DEPTH SIZE
 *                WARMUP SECONDS [SERVER_PID]
 *
 * Every connection keeps DEPTH messages of SIZE bytes in flight. With `broker`
 * CONNECTIONS subscribers listen to one publisher that keeps DEPTH messages in
 * flight; a message counts when all of them have it. Every byte that comes back
 * is compared with what was sent. Prints key=value lines.
 */
#include "client.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/epoll.h>

#define PERIOD 61 /* different messages; prime, so that a mix-up shows */
#define EVENTS 512
#define INPUT_SIZE (256 * 1024)
#define CHANNEL "/bench"

/* What one side of a connection says: PERIOD messages over and over. They are
 * laid out one after the other and then the first ones again, so that any
 * `whole` bytes from any of PERIOD messages are contiguous. */
struct pattern {
    char *bytes;
    size_t unit;   /* bytes of one message */
    size_t period; /* bytes of PERIOD messages */
    size_t whole;  /* bytes that may be taken at once */
};

struct connection {
    int fd;
    bool blocked; /* waits for EPOLLOUT */
    size_t start; /* its place in the pattern: bytes */
    uint64_t sent;
    uint64_t received;
    struct pattern *out; /* NULL for a subscriber */
    struct pattern *in;  /* NULL for the publisher */
};

struct load {
    int epoll;
    size_t count; /* connections that receive */
    size_t depth;
    bool broker;
    bool spin;
    struct connection *connections;
    struct connection *publisher;
    size_t *missing;    /* per message in flight: subscribers without it */
    uint64_t completed; /* messages */
    struct pattern data;
    struct pattern pairs;
    char input[INPUT_SIZE];
};

static void put_length(char *at, size_t length) {
    uint32_t big_endian = htonl((uint32_t)length);
    memcpy(at, &big_endian, 4);
}

static void pattern_init(struct pattern *pattern, size_t unit, size_t depth) {
    pattern->unit = unit;
    pattern->period = PERIOD * unit;
    pattern->whole = unit * (depth < 64 ? 64 : depth);
    pattern->bytes = calloc(1, pattern->period + pattern->whole);
    if (pattern->bytes == NULL)
        fail("out of memory");
}

/* Call it when the first PERIOD messages are written. */
static void pattern_repeat(struct pattern *pattern) {
    for (size_t i = 0; i < pattern->whole; i++)
        pattern->bytes[pattern->period + i] = pattern->bytes[i];
}

/* Letters that look random, the same in every run. */
static void fill_letters(char *at, size_t size) {
    static uint32_t state = 2463534242u;
    for (size_t i = 0; i < size; i++) {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        at[i] = (char)('a' + state % 26);
    }
}

static void make_messages(struct load *load, size_t size) {
    struct pattern *data = &load->data;
    size_t head = load->broker ? 4 : 0;
    pattern_init(data, head + size, load->depth);
    for (size_t i = 0; i < PERIOD; i++) {
        char *at = data->bytes + i * data->unit;
        if (load->broker)
            put_length(at, size);
        fill_letters(at + head, size);
        if (!load->broker)
            at[size - 1] = '\n';
    }
    pattern_repeat(data);
}

/* What the publisher says: the channel's frame before each data frame. */
static void make_pairs(struct load *load) {
    struct pattern *pairs = &load->pairs;
    size_t name = sizeof(CHANNEL) - 1;
    pattern_init(pairs, 4 + name + load->data.unit, load->depth);
    for (size_t i = 0; i < PERIOD; i++) {
        char *at = pairs->bytes + i * pairs->unit;
        put_length(at, name);
        memcpy(at + 4, CHANNEL, name);
        memcpy(at + 4 + name, load->data.bytes + i * load->data.unit,
               load->data.unit);
    }
    pattern_repeat(pairs);
}

static void watch(struct load *load, struct connection *conn, int operation) {
    struct epoll_event event = {.data.ptr = conn};
    event.events = EPOLLIN | (conn->blocked ? EPOLLOUT : 0);
    if (epoll_ctl(load->epoll, operation, conn->fd, &event) < 0)
        fail("epoll_ctl: %s", strerror(errno));
}

/* Sends what may be in flight now: up to message number `limit`. */
static void pump(struct load *load, struct connection *conn, uint64_t limit) {
    struct pattern *out = conn->out;
    bool blocked = false;
    limit *= out->unit;
    while (conn->sent < limit && !blocked) {
        size_t at = (conn->start + conn->sent) % out->period;
        size_t size = (size_t)(limit - conn->sent);
        ssize_t n = send(conn->fd, out->bytes + at,
                         size < out->whole ? size : out->whole, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            fail("send: %s", strerror(errno));
        blocked = n < 0;
        conn->sent += n < 0 ? 0 : (uint64_t)n;
    }
    if (blocked != conn->blocked) {
        conn->blocked = blocked;
        watch(load, conn, EPOLL_CTL_MOD);
    }
}

static void pump_echo(struct load *load, struct connection *conn) {
    pump(load, conn, conn->received / conn->in->unit + load->depth);
}

/* Fails unless the bytes are the next ones of the connection's pattern. */
static void verify(struct connection *conn, const char *bytes, size_t size) {
    struct pattern *in = conn->in;
    while (size > 0) {
        size_t at = (conn->start + conn->received) % in->period;
        size_t part = size < in->whole ? size : in->whole;
        if (memcmp(bytes, in->bytes + at, part) != 0)
            fail("wrong reply after %llu bytes",
                 (unsigned long long)conn->received);
        conn->received += part;
        bytes += part;
        size -= part;
    }
    if (conn->out != NULL && conn->received > conn->sent)
        fail("more came back than was sent");
}

/* Messages `from` to `to` - 1 have reached one more subscriber. */
static void count_deliveries(struct load *load, uint64_t from, uint64_t to) {
    if (to > load->completed + load->depth)
        fail("a message that was not sent");
    for (; from < to; from++) {
        size_t *missing = &load->missing[from % load->depth];
        if (--*missing == 0) {
            *missing = load->count;
            load->completed++;
        }
    }
}

static void on_readable(struct load *load, struct connection *conn) {
    ssize_t n = recv(conn->fd, load->input, INPUT_SIZE, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n < 0)
        fail("receive: %s", strerror(errno));
    if (n == 0)
        fail("the server has closed a connection");
    if (conn->in == NULL)
        fail("a message for the publisher");
    uint64_t before = conn->received / conn->in->unit;
    verify(conn, load->input, (size_t)n);
    uint64_t after = conn->received / conn->in->unit;
    if (load->broker) {
        count_deliveries(load, before, after);
        return;
    }
    load->completed += after - before;
    pump_echo(load, conn);
}

static void on_writable(struct load *load, struct connection *conn) {
    if (!load->broker)
        pump_echo(load, conn);
}

/* Polls without sleeping where there is a core to do so on: waking the client
 * would be work for the server, and its sleep would leave the server idle. */
static int wait_events(struct load *load, struct epoll_event *events) {
    double late = clock_seconds(CLOCK_MONOTONIC) + PATIENCE;
    int n;
    do
        n = epoll_wait(load->epoll, events, EVENTS, load->spin ? 0 : 1000);
    while (n == 0 && clock_seconds(CLOCK_MONOTONIC) < late);
    if (n == 0)
        fail("no answer for %d seconds", PATIENCE);
    return n;
}

static void turn(struct load *load) {
    struct epoll_event events[EVENTS];
    int n = wait_events(load, events);
    for (int i = 0; i < n; i++) {
        if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            on_readable(load, events[i].data.ptr);
        if (events[i].events & EPOLLOUT)
            on_writable(load, events[i].data.ptr);
    }
    if (load->broker)
        pump(load, load->publisher, load->completed + load->depth);
}

static void send_frame(int fd, const char *text) {
    char frame[64];
    size_t length = strlen(text);
    put_length(frame, length);
    memcpy(frame + 4, text, length);
    send_all(fd, frame, 4 + length);
}

/* Does something come within 20 ms? */
static bool is_answered(int fd) {
    struct timeval soon = {.tv_usec = 20000};
    fd_set readable;
    FD_ZERO(&readable);
    FD_SET(fd, &readable);
    return select(fd + 1, &readable, NULL, NULL, &soon) > 0;
}

/* The protocol does not confirm a subscription, so the publisher sends "?"
 * until the subscriber gets one; "!" then ends what a subscriber skips. */
static void subscribe_all(struct load *load) {
    int publisher = load->publisher->fd;
    send_frame(publisher, "/publisher");
    for (size_t i = 0; i < load->count; i++) {
        int tries = 0;
        send_frame(load->connections[i].fd, CHANNEL);
        do {
            if (++tries > PATIENCE * 50)
                fail("subscriber %zu gets nothing", i);
            send_frame(publisher, CHANNEL);
            send_frame(publisher, "?");
        } while (!is_answered(load->connections[i].fd));
    }
    send_frame(publisher, CHANNEL);
    send_frame(publisher, "!");
    for (size_t i = 0; i < load->count; i++) {
        char frame[5];
        do
            receive_all(load->connections[i].fd, frame, sizeof(frame));
        while (frame[4] != '!');
    }
}

static void connect_all(struct load *load, const char *host, int port) {
    size_t all = load->count + load->broker;
    load->connections = calloc(all, sizeof(struct connection));
    load->missing = calloc(load->depth, sizeof(size_t));
    if (load->connections == NULL || load->missing == NULL)
        fail("out of memory");
    for (size_t i = 0; i < load->depth; i++)
        load->missing[i] = load->count;
    for (size_t i = 0; i < all; i++) {
        struct connection *conn = &load->connections[i];
        conn->fd = connect_to(host, port);
        conn->in = i < load->count ? &load->data : NULL;
        conn->out = load->broker ? NULL : &load->data;
        conn->start = load->broker ? 0 : i % PERIOD * load->data.unit;
    }
    if (load->broker) {
        load->publisher = &load->connections[load->count];
        load->publisher->out = &load->pairs;
        subscribe_all(load);
    }
    for (size_t i = 0; i < all; i++) {
        fcntl(load->connections[i].fd, F_SETFL, O_NONBLOCK);
        watch(load, &load->connections[i], EPOLL_CTL_ADD);
    }
}

static void run_for(struct load *load, double seconds) {
    double end = clock_seconds(CLOCK_MONOTONIC) + seconds;
    while (clock_seconds(CLOCK_MONOTONIC) < end)
        turn(load);
}

static void measure(struct load *load, double seconds, pid_t server) {
    uint64_t messages = load->completed;
    double began = clock_seconds(CLOCK_MONOTONIC);
    double own = cpu_seconds(getpid());
    double cpu = server ? cpu_seconds(server) : 0;
    run_for(load, seconds);
    cpu = server ? cpu_seconds(server) - cpu : 0;
    own = cpu_seconds(getpid()) - own;
    seconds = clock_seconds(CLOCK_MONOTONIC) - began;
    messages = load->completed - messages;
    if (messages == 0)
        fail("no message was completed");
    printf("messages=%llu\nseconds=%.6f\nrate=%.1f\nclient_cpu=%.6f\n",
           (unsigned long long)messages, seconds, (double)messages / seconds,
           own);
    if (server)
        printf("server_cpu=%.6f\n", cpu);
}

int main(int argc, char **argv) {
    static struct load load;
    if (argc < 9) {
        fprintf(stderr,
                "usage: %s HOST PORT line|chunk|broker CONNECTIONS "
                "DEPTH SIZE WARMUP SECONDS [SERVER_PID]\n",
                argv[0]);
        return 2;
    }
    load.broker = strcmp(argv[3], "broker") == 0;
    load.count = strtoul(argv[4], NULL, 10);
    load.depth = strtoul(argv[5], NULL, 10);
    size_t size = strtoul(argv[6], NULL, 10);
    if (load.count == 0 || load.depth == 0 || size == 0)
        fail("CONNECTIONS, DEPTH and SIZE are at least 1");
    raise_file_limit();
    load.spin = sysconf(_SC_NPROCESSORS_ONLN) > 1;
    load.epoll = epoll_create1(0);
    make_messages(&load, size);
    if (load.broker)
        make_pairs(&load);
    connect_all(&load, argv[1], atoi(argv[2]));
    for (size_t i = 0; !load.broker && i < load.count; i++)
        pump_echo(&load, &load.connections[i]);
    if (load.broker)
        pump(&load, load.publisher, load.depth);
    run_for(&load, atof(argv[7]));
    measure(&load, atof(argv[8]), argc > 9 ? atoi(argv[9]) : 0);
    return 0;
}
