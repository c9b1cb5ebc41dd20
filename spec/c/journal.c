/*
 * journal.c - the file of a journal: a process that writes is killed a thousand
 * times, at any moment; and files are cut and damaged at every byte.
 */
#include "journal.h"

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef AHOST_CHECKS
enum { KILLS = 200 };
#else
enum { KILLS = 1000 };
#endif

/* A large one is likely to be hit while it is written. */
enum { RECORD = 300, LARGE = 128 * 1024 };

static char path[128], copy[160];

/* A record of number n: its bytes tell whether it is whole. */
static ahost__journal_data record(unsigned n) {
    static char bytes[4 + LARGE];
    unsigned size = n % 16 == 8 ? LARGE : RECORD - n % 200;
    for (int i = 0; i < 4; i++)
        bytes[i] = (char)(size >> (8 * i));
    memset(bytes + 4, (int)(n % 251), size);
    memcpy(bytes + 4, &n, sizeof(n));
    return (ahost__journal_data){bytes, 4 + size};
}

/* The number of the last record; all are whole and follow each other. */
static unsigned check_records(const ahost__journal_data *data) {
    unsigned last = 0;
    for (size_t at = 0; at < data->size;) {
        unsigned n;
        ahost__journal_data expected;
        memcpy(&n, data->bytes + at + 4, sizeof(n));
        assert(last == 0 || n == last + 1);
        expected = record(n);
        assert(data->size - at >= expected.size);
        assert(memcmp(data->bytes + at, expected.bytes, expected.size) == 0);
        at += expected.size;
        last = n;
    }
    return last;
}

/* Writes on and on; tells each number once it is written, which is what a kill
 * leaves alone. Not all are synced, that more of them are hit. */
static void write_for_ever(int acknowledge) {
    ahost__journal_file file;
    ahost__journal_data data;
    unsigned n;
    int broken = 0;
    assert(ahost__journal_file_open(&file, path, 0, &data) == 0);
    n = check_records(&data);
    assert(write(acknowledge, &n, sizeof(n)) == sizeof(n));
    for (;;) {
        data = record(++n);
        assert(ahost__journal_file_append(&file, &data, &broken) == 0);
        if (n % 8 == 0)
            assert(ahost__journal_file_sync(&file) == 0);
        assert(write(acknowledge, &n, sizeof(n)) == sizeof(n));
        if (n % 20 == 0)
            assert(ahost__journal_file_rewrite(&file, &data) == 0);
    }
}

/* Lets a child write, kills it, and returns the last number that it told. */
static unsigned kill_a_writer(unsigned before, useconds_t after) {
    int ends[2];
    unsigned n, last = before;
    pid_t child;
    assert(pipe(ends) == 0);
    child = fork();
    assert(child >= 0);
    if (child == 0) {
        close(ends[0]);
        write_for_ever(ends[1]);
    }
    close(ends[1]);
    assert(read(ends[0], &n, sizeof(n)) == sizeof(n)); /* it begins */
    usleep(after);
    kill(child, SIGKILL);
    assert(waitpid(child, NULL, 0) == child);
    while (read(ends[0], &n, sizeof(n)) == sizeof(n))
        last = n;
    close(ends[0]);
    return last;
}

static void test_kills(void) {
    unsigned told = 0, there = 0, torn = 0;
    srand(1);
    for (int i = 0; i < KILLS; i++) {
        ahost__journal_file file;
        ahost__journal_data data;
        told = kill_a_writer(there, (useconds_t)(rand() % 3000));
        assert(ahost__journal_file_open(&file, path, 0, &data) == 0);
        there = check_records(&data);
        assert(there == told || there == told + 1);
        torn += file.torn > 0;
        free(data.bytes);
        ahost__journal_file_close(&file);
    }
    assert(there > KILLS);
    printf("%d kills, %u records, %u torn\n", KILLS, there, torn);
}

/* ---- damage ------------------------------------------------------------- */

static size_t read_path(const char *name, char *bytes, size_t most) {
    int fd = open(name, O_RDONLY);
    ssize_t n = read(fd, bytes, most);
    assert(fd >= 0 && n >= 0);
    close(fd);
    return (size_t)n;
}

static void write_path(const char *name, const char *bytes, size_t size) {
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
    close(fd);
}

/* Opens the copy. -> the result; *last and *file tell what was found. */
static int open_copy(int salvage, unsigned *count, ahost__journal_file *file) {
    ahost__journal_data data;
    int err = ahost__journal_file_open(file, copy, salvage, &data);
    *count = 0;
    for (size_t at = 0; at < data.size; (*count)++)
        at += 4 + (unsigned char)data.bytes[at] +
              256u * (unsigned char)data.bytes[at + 1];
    free(data.bytes);
    ahost__journal_file_close(file);
    return err;
}

static size_t make_sample(char *bytes, size_t most) {
    ahost__journal_file file;
    ahost__journal_data data;
    int broken = 0;
    unlink(path);
    assert(ahost__journal_file_open(&file, path, 0, &data) == 0);
    for (unsigned n = 195; n < 200; n++) {
        data = record(n);
        assert(ahost__journal_file_append(&file, &data, &broken) == 0);
    }
    ahost__journal_file_close(&file);
    return read_path(path, bytes, most);
}

/* A file that ends anywhere opens with the records before that. */
static void test_cuts(void) {
    char bytes[4096];
    size_t size = make_sample(bytes, sizeof(bytes));
    unsigned count, most = 0;
    for (size_t cut = 24; cut <= size; cut++) {
        ahost__journal_file file;
        write_path(copy, bytes, cut);
        assert(open_copy(0, &count, &file) == 0);
        assert(count == most || count == most + 1);
        most = count;
        assert(open_copy(0, &count, &file) == 0);
        assert(count == most && file.torn == 0);
    }
    assert(most == 5);
    write_path(copy, bytes, 23);
    {
        ahost__journal_file file;
        assert(open_copy(0, &count, &file) == AHOST__JOURNAL_FOREIGN);
    }
}

/* A byte that is wrong is never taken for data, nor passed over in silence. */
static void test_wrong_bytes(void) {
    char bytes[4096];
    size_t size = make_sample(bytes, sizeof(bytes));
    size_t last = size - 12 - (RECORD - 199);
    for (size_t at = 0; at < size; at++) {
        ahost__journal_file file;
        unsigned count;
        int err;
        bytes[at] ^= 0x41;
        write_path(copy, bytes, size);
        err = open_copy(0, &count, &file);
        if (at < 16)
            assert(err == AHOST__JOURNAL_FOREIGN);
        else if (at < last && (at < 16 || at >= 20))
            assert(err == AHOST__JOURNAL_DAMAGED && file.damaged > 0);
        else if (at >= last)
            assert(err == 0 && count == 4 && file.torn == size - last);
        else
            assert(err == AHOST__JOURNAL_DAMAGED);
        if (at >= 24 && at < last) {
            char name[200];
            assert(open_copy(1, &count, &file) == 0 && count == 4);
            assert(open_copy(0, &count, &file) == 0 && count == 4);
            snprintf(name, sizeof(name), "%s.damaged", copy);
            assert(unlink(name) == 0);
        }
        bytes[at] ^= 0x41;
    }
}

/* Bytes of a journal that are data of another are not its records. */
static void test_a_journal_inside_a_torn_record(void) {
    char bytes[4096], contents[4100];
    size_t size = make_sample(bytes, sizeof(bytes));
    ahost__journal_file file;
    ahost__journal_data data;
    unsigned count;
    int broken = 0;
    unlink(copy);
    assert(ahost__journal_file_open(&file, copy, 0, &data) == 0);
    for (int i = 0; i < 4; i++)
        contents[i] = (char)(size >> (8 * i));
    memcpy(contents + 4, bytes, size);
    data = (ahost__journal_data){contents, size + 4};
    assert(ahost__journal_file_append(&file, &data, &broken) == 0);
    ahost__journal_file_close(&file);
    assert(truncate(copy, (off_t)size) == 0);
    assert(open_copy(0, &count, &file) == 0 && count == 0 && file.torn > 0);
}

static void test_locks(void) {
    ahost__journal_file one, two;
    ahost__journal_data data;
    assert(ahost__journal_file_open(&one, path, 0, &data) == 0);
    free(data.bytes);
    assert(ahost__journal_file_open(&two, path, 0, &data) ==
           AHOST__JOURNAL_LOCKED);
    assert(two.holder == (long)getpid());
    ahost__journal_file_close(&two);
    ahost__journal_file_close(&one);
    assert(ahost__journal_file_open(&two, path, 0, &data) == 0);
    free(data.bytes);
    ahost__journal_file_close(&two);
    assert(ahost__journal_file_open(&two, "/nowhere/at/all", 0, &data) < 0);
    ahost__journal_file_close(&two);
}

int main(void) {
    char directory[] = "/tmp/ahost-journal-XXXXXX", command[128];
    assert(mkdtemp(directory) != NULL);
    snprintf(path, sizeof(path), "%s/journal", directory);
    snprintf(copy, sizeof(copy), "%s/copy", directory);
    test_kills();
    test_cuts();
    test_wrong_bytes();
    test_a_journal_inside_a_torn_record();
    test_locks();
    snprintf(command, sizeof(command), "rm -r %s", directory);
    return system(command) == 0 ? 0 : 1;
}
