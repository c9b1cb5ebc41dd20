/*
 * minimal.c - a program that runs Lua scripts.
 */
#include <ahost.h>
#include <stdio.h>

static void print_record(void *data, const ahost_record *record) {
    (void)data;
    fprintf(stderr, "%s: %s\n", record->logger, record->text);
}

int main(int argc, char **argv) {
    ahost_options options = {.size = sizeof(options)};
    ahost *host;
    int status = 1;
    if (argc < 2)
        return 2;
    options.log = print_record;
    options.argc = argc - 2;
    options.argv = argv + 2;
    if (ahost_open(&host, &options) != AHOST_OK)
        return 1;
    if (ahost_load_file(host, argv[1]) == AHOST_OK)
        status = ahost_run(host);
    else
        fprintf(stderr, "%s\n", ahost_errmsg(host));
    ahost_close(host);
    return status;
}
