/*
 * gateway.c - readings of a sensor come from a thread, a component in Lua
 * decides, and switches a heater that is in C again.
 *
 *     gateway READINGS
 */
#include <ahost.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

struct gateway {
    ahost *host;
    pthread_t thread;
    long readings;   /* that are to come */
    sem_t delivered; /* the host has dealt with the latest one */
    double celsius;  /* the thread's, but while a reading is delivered */
    atomic_int heating;
};

/* ---- the heater, for Lua ------------------------------------------------ */

/* heater:switch(on) */
static int heater_switch(ahost_invocation *call, void *pointer) {
    struct gateway *gateway = pointer;
    const ahost_value *on = ahost_argument(call, 1, AHOST_BOOLEAN);
    if (on == NULL)
        return AHOST_MISUSE; /* an error is raised in Lua, which says why */
    atomic_store(&gateway->heating, ahost_value_boolean(on, 0));
    return AHOST_OK;
}

static const ahost_method heater_methods[] = {{"switch", heater_switch},
                                              {NULL, NULL}};

static const ahost_type heater_type = {sizeof(ahost_type), "gateway.heater",
                                       heater_methods, NULL};

/* ---- readings: from the thread to the host ------------------------------ */

/* In the host's thread: publishes the reading for whoever listens. */
static void deliver(ahost *host, void *data) {
    struct gateway *gateway = data;
    ahost_value *reading = ahost_make_map();
    ahost_value *list = ahost_make_list();
    ahost_map_set(reading, "sensor", ahost_make_string("hall"));
    ahost_map_set(reading, "celsius", ahost_make_number(gateway->celsius));
    ahost_list_add(list, reading);
    if (ahost_bus_publish(host, "sensor.reading", list) != AHOST_OK)
        fprintf(stderr, "%s\n", ahost_errmsg(host));
    ahost_value_free(list);
    sem_post(&gateway->delivered);
}

/* The host has ended before: the thread must not wait for ever. */
static void drop(void *data) {
    struct gateway *gateway = data;
    sem_post(&gateway->delivered);
}

static void *measure(void *data) {
    struct gateway *gateway = data;
    while (gateway->readings-- > 0) {
        gateway->celsius += atomic_load(&gateway->heating) ? 0.5 : -0.25;
        if (ahost_post(gateway->host, deliver, gateway, drop) != AHOST_OK)
            break;
        sem_wait(&gateway->delivered);
    }
    ahost_stop(gateway->host);
    return NULL;
}

/* ---- the program -------------------------------------------------------- */

static void print_record(void *data, const ahost_record *record) {
    (void)data;
    fprintf(stderr, "%s: %s\n", record->logger, record->text);
}

static int load(struct gateway *gateway) {
    static const char *const files[] = {"gateway.yaml", NULL};
    int err =
        ahost_publish(gateway->host, "gateway.heater", gateway, &heater_type);
    return err != AHOST_OK ? err
                           : ahost_load_config(gateway->host, files, NULL);
}

/* Runs the host while the thread measures. */
static int run(struct gateway *gateway) {
    int status;
    if (pthread_create(&gateway->thread, NULL, measure, gateway) != 0)
        return 1;
    status = ahost_run(gateway->host);
    pthread_join(gateway->thread, NULL); /* it uses the host until then */
    return status;
}

int main(int argc, char **argv) {
    ahost_options options = {.size = sizeof(options), .log = print_record};
    struct gateway gateway = {.celsius = 20};
    int status = 1;
    gateway.readings = argc > 1 ? strtol(argv[1], NULL, 10) : 100;
    sem_init(&gateway.delivered, 0, 0);
    if (ahost_open(&gateway.host, &options) != AHOST_OK)
        return 1;
    if (load(&gateway) == AHOST_OK)
        status = run(&gateway);
    else
        fprintf(stderr, "%s\n", ahost_errmsg(gateway.host));
    ahost_close(gateway.host);
    sem_destroy(&gateway.delivered);
    return status;
}
