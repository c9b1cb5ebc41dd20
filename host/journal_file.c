/*
 * journal_file.c - the file of a journal: its format, its lock, and the order
 * of system calls that makes it survive a crash at any moment.
 *
 * Header: 16 bytes of name and version, the salt, the check sum of both.
 * Record: a marker, the length of its contents, the check sum, the contents.
 * Numbers are little-endian and have 4 bytes. A file comes into being, and is
 * rewritten, under another name; only when it is on the disk it is given its
 * own.
 */
#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

enum { HEADER = 24, RECORD = 12, NAME = 16, MOST_COPIES = 99 };

/* The search for records behind damage reads so many times the file at most. */
enum { SEARCH = 16 };

static const char magic[NAME + 1] = "ahost pdict 1\n\0\0";
static const char marker[4] = {'\xA5', 'r', 'e', 'c'};

static uint32_t get32(const char *at) {
    const unsigned char *b = (const unsigned char *)at;
    return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 |
           (uint32_t)b[3] << 24;
}

static void put32(char *at, uint32_t value) {
    for (int i = 0; i < 4; i++)
        at[i] = (char)(value >> (8 * i));
}

/* CRC-32 of IEEE 802.3, four bits at a time. */
static uint32_t crc32(uint32_t crc, const char *bytes, size_t size) {
    static const uint32_t table[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
        0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
        0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc ^= (unsigned char)bytes[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

/* Of the length as it is written and the contents behind it. */
static uint32_t record_sum(uint32_t salt, const char *length,
                           const char *contents, size_t size) {
    char start[4];
    put32(start, salt);
    return crc32(crc32(crc32(0, start, 4), length, 4), contents, size);
}

/* ---- system calls ------------------------------------------------------- */

static int write_at(int fd, const char *bytes, size_t size, uint64_t offset) {
    while (size > 0) {
        ssize_t n = pwrite(fd, bytes, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : UV_EIO;
        bytes += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

static int read_all(int fd, char *bytes, size_t size) {
    for (size_t done = 0; done < size;) {
        ssize_t n = pread(fd, bytes + done, size - done, (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : UV_EIO;
        done += (size_t)n;
    }
    return 0;
}

static int open_in(int directory, const char *name, int flags) {
    int fd;
    do
        fd = openat(directory, name, flags | O_CLOEXEC, 0600);
    while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

static int sync_fd(int fd) {
    return fsync(fd) == 0 ? 0 : -errno;
}

/* NAME with an ending; malloc'ed. */
static char *with_ending(const char *name, const char *ending) {
    size_t size = strlen(name) + strlen(ending) + 1;
    char *text = malloc(size);
    if (text != NULL)
        snprintf(text, size, "%s%s", name, ending);
    return text;
}

/* ---- writing ------------------------------------------------------------ */

/* The records of `data` as they stand in the file. */
static char *make_records(uint32_t salt, const ahost__journal_data *data,
                          size_t *size) {
    size_t count = 0, at;
    char *records, *to;
    for (at = 0; at < data->size; at += 4 + get32(data->bytes + at))
        count++;
    *size = data->size + count * (RECORD - 4);
    records = to = malloc(*size + 1);
    for (at = 0; records != NULL && at < data->size;) {
        const char *length = data->bytes + at;
        uint32_t bytes = get32(length);
        memcpy(to, marker, 4);
        memcpy(to + 4, length, 4);
        put32(to + 8, record_sum(salt, length, length + 4, bytes));
        memcpy(to + RECORD, length + 4, bytes);
        to += RECORD + bytes;
        at += 4 + bytes;
    }
    return records;
}

int ahost__journal_file_append(ahost__journal_file *file,
                               const ahost__journal_data *data, int *broken) {
    size_t size;
    char *records = make_records(file->salt, data, &size);
    int err;
    if (records == NULL)
        return UV_ENOMEM;
    err = write_at(file->fd, records, size, file->size);
    free(records);
    if (err == 0)
        file->size += size;
    else if (ftruncate(file->fd, (off_t)file->size) != 0)
        *broken = 1;
    return err;
}

int ahost__journal_file_sync(const ahost__journal_file *file) {
    return fdatasync(file->fd) == 0 ? 0 : -errno;
}

/* Writes a whole file, header and records, and has it on the disk. */
static int write_file(int fd, uint32_t salt, const ahost__journal_data *data,
                      uint64_t *total) {
    char header[HEADER];
    size_t size;
    char *records = make_records(salt, data, &size);
    int err;
    if (records == NULL)
        return UV_ENOMEM;
    memcpy(header, magic, NAME);
    put32(header + NAME, salt);
    put32(header + NAME + 4, crc32(0, header, NAME + 4));
    err = write_at(fd, header, HEADER, 0);
    if (err == 0)
        err = write_at(fd, records, size, HEADER);
    free(records);
    *total = HEADER + size;
    return err != 0 ? err : sync_fd(fd);
}

/* The new file is as readable for others as the old one. */
static void keep_mode(const ahost__journal_file *file, int fd) {
    struct stat old;
    if (file->fd >= 0 && fstat(file->fd, &old) == 0)
        (void)!fchmod(fd, old.st_mode & 07777);
}

static int replace_by(ahost__journal_file *file, const char *name,
                      const ahost__journal_data *data) {
    uint32_t salt;
    uint64_t size;
    int err = uv_random(NULL, NULL, &salt, sizeof(salt), 0, NULL);
    int fd = err != 0 ? err
                      : open_in(file->directory, name,
                                O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW);
    if (fd < 0)
        return fd;
    keep_mode(file, fd);
    err = write_file(fd, salt, data, &size);
    if (err == 0 &&
        renameat(file->directory, name, file->directory, file->name) != 0)
        err = -errno;
    if (err != 0) {
        unlinkat(file->directory, name, 0);
        close(fd);
        return err;
    }
    if (file->fd >= 0)
        close(file->fd);
    file->fd = fd;
    file->salt = salt;
    file->size = size;
    return sync_fd(file->directory);
}

int ahost__journal_file_rewrite(ahost__journal_file *file,
                                const ahost__journal_data *data) {
    char *name = with_ending(file->name, ".new");
    int err = name != NULL ? replace_by(file, name, data) : UV_ENOMEM;
    free(name);
    return err;
}

/* ---- reading ------------------------------------------------------------ */

typedef struct scan {
    const char *bytes;
    size_t size;
    uint32_t salt;
    uint64_t budget; /* bytes that the search may yet read */
} scan;

/* Whether a record begins there; *size is set to that of the whole. */
static int is_record(scan *s, size_t at, size_t *size) {
    const char *record = s->bytes + at;
    uint32_t length;
    if (s->size - at < RECORD || memcmp(record, marker, 4) != 0)
        return 0;
    length = get32(record + 4);
    if (length > s->size - at - RECORD)
        return 0;
    if (length > s->budget)
        s->budget = 0;
    else
        s->budget -= length;
    *size = RECORD + (size_t)length;
    return get32(record + 8) ==
           record_sum(s->salt, record + 4, record + RECORD, length);
}

/* The next record behind a place that is none, or the end. */
static size_t next_record(scan *s, size_t at) {
    size_t size;
    while (s->budget > 0 && at + 1 < s->size) {
        const char *found =
            memmem(s->bytes + at + 1, s->size - at - 1, marker, 4);
        if (found == NULL)
            break;
        at = (size_t)(found - s->bytes);
        if (is_record(s, at, &size))
            return at;
    }
    return s->size;
}

static void keep_record(ahost__journal_data *data, const char *record,
                        size_t size) {
    memcpy(data->bytes + data->size, record + 4, 4);
    memcpy(data->bytes + data->size + 4, record + RECORD, size - RECORD);
    data->size += size - RECORD + 4;
}

static void note_damage(ahost__journal_file *file, size_t from, size_t to) {
    if (file->damaged == 0)
        file->damaged_at = from;
    file->damaged += to - from;
}

/* Collects the records. Sets file->torn, and what is about damage. */
static void collect(ahost__journal_file *file, scan *s,
                    ahost__journal_data *data) {
    size_t at = HEADER, size;
    while (at < s->size) {
        size_t next;
        s->budget = UINT64_MAX;
        if (is_record(s, at, &size)) {
            keep_record(data, s->bytes + at, size);
            at += size;
            continue;
        }
        s->budget = (uint64_t)s->size * SEARCH;
        next = next_record(s, at);
        if (next < s->size || s->budget == 0)
            note_damage(file, at, next);
        else
            file->torn = s->size - at;
        at = next;
    }
}

static int check_header(ahost__journal_file *file, const char *bytes,
                        size_t size) {
    if (size < HEADER || memcmp(bytes, magic, NAME) != 0)
        return AHOST__JOURNAL_FOREIGN;
    file->salt = get32(bytes + NAME);
    if (get32(bytes + NAME + 4) != crc32(0, bytes, NAME + 4))
        note_damage(file, NAME, HEADER);
    return 0;
}

static int read_records(ahost__journal_file *file, char *bytes,
                        ahost__journal_data *data) {
    scan s = {.bytes = bytes, .size = (size_t)file->size};
    int err = read_all(file->fd, bytes, s.size);
    if (err == 0)
        err = check_header(file, bytes, s.size);
    if (err != 0)
        return err;
    data->bytes = malloc(s.size);
    if (data->bytes == NULL)
        return UV_ENOMEM;
    s.salt = file->salt;
    collect(file, &s, data);
    return file->damaged != 0 ? AHOST__JOURNAL_DAMAGED : 0;
}

/* ---- opening ------------------------------------------------------------ */

static int open_directory(ahost__journal_file *file, const char *path) {
    const char *slash = strrchr(path, '/');
    char *directory = slash == NULL   ? strdup(".")
                      : slash == path ? strdup("/")
                                      : strndup(path, (size_t)(slash - path));
    file->name = strdup(slash != NULL ? slash + 1 : path);
    if (directory == NULL || file->name == NULL) {
        free(directory);
        return UV_ENOMEM;
    }
    file->directory = open_in(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY);
    free(directory);
    return file->directory < 0 ? file->directory : 0;
}

/* Who holds the lock has written its number there. */
static void read_holder(ahost__journal_file *file) {
    char text[32] = {0};
    if (pread(file->lock, text, sizeof(text) - 1, 0) > 0)
        file->holder = atol(text);
}

/* The lock is a file of its own, that stays: the journal itself is replaced. */
static int take_lock(ahost__journal_file *file) {
    char *name = with_ending(file->name, ".lock");
    char text[32];
    int size = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    if (name == NULL)
        return UV_ENOMEM;
    file->lock = open_in(file->directory, name, O_RDWR | O_CREAT);
    free(name);
    if (file->lock < 0)
        return file->lock;
    if (flock(file->lock, LOCK_EX | LOCK_NB) != 0) {
        int err = errno == EWOULDBLOCK ? AHOST__JOURNAL_LOCKED : -errno;
        read_holder(file);
        return err;
    }
    if (ftruncate(file->lock, 0) != 0)
        return -errno;
    return write_at(file->lock, text, (size_t)size, 0);
}

static int read_file(ahost__journal_file *file, ahost__journal_data *data) {
    struct stat status;
    char *bytes;
    int err;
    if (fstat(file->fd, &status) != 0)
        return -errno;
    if (!S_ISREG(status.st_mode))
        return AHOST__JOURNAL_FOREIGN;
    file->size = (uint64_t)status.st_size;
    if (file->size == 0)
        return ahost__journal_file_rewrite(file, data);
    bytes = malloc((size_t)file->size);
    if (bytes == NULL)
        return UV_ENOMEM;
    err = read_records(file, bytes, data);
    free(bytes);
    return err;
}

static int cut_torn(ahost__journal_file *file) {
    if (file->torn == 0)
        return 0;
    file->size -= file->torn;
    if (ftruncate(file->fd, (off_t)file->size) != 0)
        return -errno;
    return sync_fd(file->fd);
}

/* Gives the damaged file a second name, that nothing has yet. */
static int keep_copy(const ahost__journal_file *file) {
    int err = UV_EEXIST;
    for (int i = 1; i <= MOST_COPIES && err == UV_EEXIST; i++) {
        char ending[32];
        char *name;
        snprintf(ending, sizeof(ending), i == 1 ? ".damaged" : ".damaged-%d",
                 i);
        name = with_ending(file->name, ending);
        if (name == NULL)
            return UV_ENOMEM;
        err = linkat(file->directory, file->name, file->directory, name, 0) == 0
                  ? 0
                  : -errno;
        free(name);
    }
    return err;
}

static int salvage_file(ahost__journal_file *file,
                        const ahost__journal_data *data) {
    int err = keep_copy(file);
    return err != 0 ? err : ahost__journal_file_rewrite(file, data);
}

int ahost__journal_file_open(ahost__journal_file *file, const char *path,
                             int salvage, ahost__journal_data *data) {
    int err;
    *file = (ahost__journal_file){.fd = -1, .lock = -1, .directory = -1};
    *data = (ahost__journal_data){0};
    err = open_directory(file, path);
    if (err == 0)
        err = take_lock(file);
    if (err != 0)
        return err;
    file->fd = open_in(file->directory, file->name, O_RDWR);
    if (file->fd == UV_ENOENT)
        return ahost__journal_file_rewrite(file, data);
    if (file->fd < 0)
        return file->fd;
    err = read_file(file, data);
    if (err == AHOST__JOURNAL_DAMAGED && salvage)
        return salvage_file(file, data);
    return err != 0 ? err : cut_torn(file);
}

static void close_fd(int *fd) {
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void ahost__journal_file_close(ahost__journal_file *file) {
    close_fd(&file->fd);
    close_fd(&file->lock);
    close_fd(&file->directory);
    free(file->name);
    file->name = NULL;
}
