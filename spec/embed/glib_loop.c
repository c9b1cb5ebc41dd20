/*
 * glib_loop.c - a host as a source of events in GLib's main loop, beside a
 * timeout of GLib's own.
 */
#include <ahost.h>
#include <glib.h>
#include <stdio.h>

static const char script[] =
    "local task = require 'ahost.task'\n"
    "for i = 1, 3 do task.sleep(0.01) print('script', i) end\n"
    "io.stdout:flush()\n";

struct source {
    GSource base;
    ahost *host;
    GMainLoop *loop;
    gpointer tag; /* of the descriptor */
};

static gboolean prepare(GSource *base, gint *timeout) {
    *timeout = ahost_timeout(((struct source *)base)->host);
    return *timeout == 0;
}

static gboolean check(GSource *base) {
    struct source *source = (struct source *)base;
    return g_source_query_unix_fd(base, source->tag) != 0 ||
           ahost_timeout(source->host) == 0;
}

static gboolean dispatch(GSource *base, GSourceFunc callback, gpointer data) {
    struct source *source = (struct source *)base;
    (void)callback;
    (void)data;
    if (ahost_step(source->host, 0) == 1)
        return G_SOURCE_CONTINUE;
    g_main_loop_quit(source->loop);
    return G_SOURCE_REMOVE;
}

static GSourceFuncs functions = {
    .prepare = prepare, .check = check, .dispatch = dispatch};

static gboolean tick(gpointer ticks) {
    ++*(int *)ticks;
    return G_SOURCE_CONTINUE;
}

static int run(ahost *host) {
    GMainLoop *loop = g_main_loop_new(NULL, FALSE);
    GSource *base = g_source_new(&functions, sizeof(struct source));
    struct source *source = (struct source *)base;
    int ticks = 0;
    guint timer = g_timeout_add(5, tick, &ticks);
    source->host = host;
    source->loop = loop;
    source->tag = g_source_add_unix_fd(base, ahost_fd(host), G_IO_IN);
    g_source_attach(base, NULL);
    g_main_loop_run(loop);
    printf("ticks: %s\n", ticks > 0 ? "some" : "none");
    g_source_remove(timer);
    g_source_unref(base);
    g_main_loop_unref(loop);
    return ahost_exit_status(host);
}

int main(void) {
    ahost *host;
    int status = 1;
    if (ahost_open(&host, NULL) != AHOST_OK)
        return 1;
    if (ahost_load_string(host, script, "=script") == AHOST_OK)
        status = run(host);
    ahost_close(host);
    return status;
}
