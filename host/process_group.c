/*
 * process_group.c - whether a process group has members that run.
 *
 * kill() also finds those that have ended and wait for their parent to notice,
 * which may take for ever; /proc tells them apart.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "subprocess.h"

/* Whether the process of this name in /proc runs, in the group. */
static int is_running_in(const char *name, pid_t group) {
    char path[64], text[512], state, *end;
    int fd, pgrp;
    ssize_t size;
    snprintf(path, sizeof(path), "/proc/%.20s/stat", name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd == -1)
        return 0;
    size = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[size > 0 ? size : 0] = '\0';
    end = strrchr(text, ')'); /* of its name, which may hold anything */
    return end != NULL && sscanf(end + 1, " %c %*d %d", &state, &pgrp) == 2 &&
           pgrp == group && state != 'Z' && state != 'X';
}

int ahost__is_group_running(pid_t group) {
    const struct dirent *entry;
    DIR *directory;
    int running = 0;
    if (kill(-group, 0) != 0 && errno == ESRCH)
        return 0;
    directory = opendir("/proc");
    if (directory == NULL)
        return 1;
    while (!running && (entry = readdir(directory)) != NULL)
        running = isdigit((unsigned char)entry->d_name[0]) &&
                  is_running_in(entry->d_name, group);
    closedir(directory);
    return running;
}
