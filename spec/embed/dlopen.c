/*
 * dlopen.c - hosts from libraries that are opened at run time and show their
 * symbols to nobody: the program is linked to none of them.
 *
 *     dlopen LIBRARY...
 *
 * Opens a host from each library, runs them one after the other while all are
 * open, and closes libraries and hosts in order.
 */
#include <ahost.h>
#include <dlfcn.h>
#include <stdio.h>

enum { LIBRARIES = 4 };

static const char script[] =
    "local task, json = require 'ahost.task', require 'ahost.json'\n"
    "local both = task.all{function() task.sleep(0.001) return 1 end,\n"
    "  function() return coroutine.wrap(function() task.yield() return 2 end)()"
    " end}\n"
    "print(..., json.encode(both), #require('ahost.yaml').decode '[1, 2, 3]')";

struct library {
    void *handle;
    ahost *host;
    int (*open)(ahost **host, const ahost_options *options);
    int (*load)(ahost *host, const char *source, const char *name);
    int (*run)(ahost *host);
    void (*close)(ahost *host);
};

/* POSIX has it that a function's address fits into a void pointer. */
static void find(struct library *lib, const char *name, void *function) {
    *(void **)function = dlsym(lib->handle, name);
    if (*(void **)function == NULL)
        fprintf(stderr, "%s\n", dlerror());
}

static int open_library(struct library *lib, char **path) {
    ahost_options options = {.size = sizeof(options)};
    options.argc = 1;
    options.argv = path;
    lib->handle = dlopen(*path, RTLD_NOW | RTLD_LOCAL);
    if (lib->handle == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return -1;
    }
    find(lib, "ahost_open", &lib->open);
    find(lib, "ahost_load_string", &lib->load);
    find(lib, "ahost_run", &lib->run);
    find(lib, "ahost_close", &lib->close);
    return lib->open(&lib->host, &options);
}

int main(int argc, char **argv) {
    struct library libraries[LIBRARIES];
    int count = argc - 1, status = 0;
    if (count < 1 || count > LIBRARIES)
        return 2;
    for (int i = 0; i < count; i++)
        if (open_library(&libraries[i], &argv[i + 1]) != AHOST_OK)
            return 1;
    for (int i = 0; i < count; i++) {
        struct library *lib = &libraries[i];
        if (lib->load(lib->host, script, "=script") != AHOST_OK ||
            lib->run(lib->host) != 0)
            status = 1;
    }
    for (int i = 0; i < count; i++) {
        libraries[i].close(libraries[i].host);
        dlclose(libraries[i].handle);
    }
    return status;
}
