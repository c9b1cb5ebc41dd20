/*
 * uv_loop.c - a host on a loop of libuv that the program runs, beside a timer
 * of the program's own.
 */
#include <ahost_lua.h>
#include <stdio.h>

static const char script[] =
    "local task = require 'ahost.task'\n"
    "for i = 1, 3 do task.sleep(0.01) print('script', i) end\n";

static int ticks, status = -1;

static void on_tick(uv_timer_t *timer) {
    (void)timer;
    ticks++;
}

static void on_ended(ahost *host, void *data, int result) {
    uv_close((uv_handle_t *)data, NULL);
    status = result;
    ahost_close(host);
}

int main(void) {
    uv_loop_t loop;
    uv_timer_t timer;
    ahost *host;
    uv_loop_init(&loop);
    uv_timer_init(&loop, &timer);
    uv_timer_start(&timer, on_tick, 5, 5);
    if (ahost_open_on_loop(&host, NULL, &loop, on_ended, &timer) != AHOST_OK ||
        ahost_load_string(host, script, "=script") != AHOST_OK)
        return 1;
    uv_run(&loop, UV_RUN_DEFAULT);
    printf("ticks: %s\n", ticks > 0 ? "some" : "none");
    return uv_loop_close(&loop) == 0 ? status : 2;
}
