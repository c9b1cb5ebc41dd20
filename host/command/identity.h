/*
 * identity.h - on whose behalf the process runs: users and groups.
 */
#ifndef AHOST_IDENTITY_H
#define AHOST_IDENTITY_H

#include <sys/types.h>

typedef struct identity_user {
    uid_t uid;
    gid_t gid;
    char *name, *home; /* to be freed; NULL for a number that has no name */
} identity_user;

/* Looks up a user, by name or by number. 1 when found, 0 when there is none, or
 * a negative code. */
int identity_find_user(const char *name, long number, identity_user *user);
void identity_free_user(identity_user *user);

/* The same for a group. */
int identity_find_group(const char *name, long number, gid_t *gid);

/* Becomes somebody else, for good. `groups` NULL: those of the user, or only
 * `gid` when it has no name. 0 or a negative code; then nothing must go on. */
int identity_become(const identity_user *user, gid_t gid, const gid_t *groups,
                    size_t count);

#endif
