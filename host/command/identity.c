/*
 * identity.c - on whose behalf the process runs: users and groups.
 */
#include "identity.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- looking up --------------------------------------------------------- */

/* Codes with which systems say that there is no such entry. */
static int is_missing(int err) {
    return err == 0 || err == ENOENT || err == ESRCH || err == EBADF ||
           err == EPERM;
}

/* `name` NULL: the user of the number, who need not have an entry. */
int identity_find_user(const char *name, long number, identity_user *user) {
    const struct passwd *entry;
    errno = 0;
    entry = name != NULL ? getpwnam(name) : getpwuid((uid_t)number);
    memset(user, 0, sizeof(*user));
    if (entry == NULL && !is_missing(errno))
        return -errno;
    if (entry == NULL && name != NULL)
        return 0;
    user->uid = entry != NULL ? entry->pw_uid : (uid_t)number;
    user->gid = entry != NULL ? entry->pw_gid : (gid_t)number;
    if (entry == NULL)
        return 1;
    user->name = strdup(entry->pw_name);
    user->home = strdup(entry->pw_dir);
    if (user->name != NULL && user->home != NULL)
        return 1;
    identity_free_user(user);
    return -ENOMEM;
}

void identity_free_user(identity_user *user) {
    free(user->name);
    free(user->home);
    user->name = user->home = NULL;
}

int identity_find_group(const char *name, long number, gid_t *gid) {
    const struct group *entry;
    *gid = (gid_t)number;
    if (name == NULL)
        return 1;
    errno = 0;
    entry = getgrnam(name);
    if (entry == NULL)
        return is_missing(errno) ? 0 : -errno;
    *gid = entry->gr_gid;
    return 1;
}

/* ---- becoming ----------------------------------------------------------- */

static int set_groups(const identity_user *user, gid_t gid, const gid_t *groups,
                      size_t count) {
    if (groups != NULL)
        return setgroups(count, groups);
    if (user->name != NULL)
        return initgroups(user->name, gid);
    return setgroups(1, &gid);
}

/* What programs take from the environment about who they are. */
static int set_environment(const identity_user *user) {
    if (user->name == NULL)
        return 0;
    return setenv("USER", user->name, 1) | setenv("LOGNAME", user->name, 1) |
           setenv("HOME", user->home, 1);
}

/* The user comes last: it may do none of this. All three numbers are set, so
 * there is no way back. */
int identity_become(const identity_user *user, gid_t gid, const gid_t *groups,
                    size_t count) {
    if (set_groups(user, gid, groups, count) != 0 ||
        setresgid(gid, gid, gid) != 0 ||
        setresuid(user->uid, user->uid, user->uid) != 0 ||
        set_environment(user) != 0)
        return -errno;
    return 0;
}
