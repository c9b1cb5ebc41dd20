/*
 * Slabs against a model: blocks of random sizes never overlap, keep what is in
 * them when they are resized, and go back to the system when they are freed.
 */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host.h"

enum { BLOCKS = 4000, STEPS = 400000, LARGEST = 1500 };

typedef struct model {
    unsigned char *at;
    size_t size;
    unsigned char fill; /* of all its bytes */
} model;

static uint64_t random_state = 1;

static size_t random_below(size_t limit) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (size_t)(random_state % limit);
}

static size_t random_size(void) {
    return 1 + random_below(random_below(4) == 0 ? LARGEST : 128);
}

static void check(const model *m, size_t size) {
    for (size_t i = 0; i < size; i++)
        assert(m->at[i] == m->fill);
}

static void fill(model *m) {
    m->fill = (unsigned char)random_below(256);
    memset(m->at, m->fill, m->size);
}

/* 16 bytes for sizes that are multiples of 16, else 8. */
static int is_aligned(const model *m) {
    return (uintptr_t)m->at % 8 == 0 &&
           (m->size % 16 != 0 || (uintptr_t)m->at % 16 == 0);
}

static void take(ahost *h, model *m) {
    m->size = random_size();
    m->at = ahost__alloc(h, m->size);
    assert(m->at != NULL && is_aligned(m));
    m->fill = 0;
    check(m, m->size);
    fill(m);
}

static void resize(ahost *h, model *m) {
    size_t size = random_size(), old_size = m->size;
    m->at = ahost__resize(h, m->at, old_size, size);
    assert(m->at != NULL);
    check(m, size < old_size ? size : old_size);
    m->size = size;
    assert(is_aligned(m));
    fill(m);
}

static void give(ahost *h, model *m) {
    check(m, m->size);
    ahost__free(h, m->at, m->size);
    m->at = NULL;
}

static size_t sum(const model *models) {
    size_t size = 0;
    for (int i = 0; i < BLOCKS; i++)
        size += models[i].at != NULL ? models[i].size : 0;
    return size;
}

static void test_random(ahost *h) {
    static model models[BLOCKS];
    size_t before = h->memory;
    for (int i = 0; i < STEPS; i++) {
        model *m = &models[random_below(BLOCKS)];
        if (m->at == NULL)
            take(h, m);
        else if (random_below(3) == 0)
            resize(h, m);
        else
            give(h, m);
        if (i % 10000 == 0)
            assert(h->memory == before + sum(models));
    }
    for (int i = 0; i < BLOCKS; i++)
        ahost__free(h, models[i].at, models[i].size);
    assert(h->memory == before);
}

#ifndef AHOST_PLAIN_MALLOC
static size_t slabs_held(const ahost *h) {
    return h->slabs.count + h->slabs.spare_count;
}

/* What many blocks needed is given back, whatever the order of their end. */
static void test_shrinking(ahost *h, size_t step) {
    enum { MANY = 100003 }; /* a prime: every step reaches all of them */
    static void *blocks[MANY];
    size_t before = slabs_held(h), size = 240;
    for (size_t i = 0; i < MANY; i++)
        assert((blocks[i] = ahost__alloc(h, size)) != NULL);
    assert(h->slabs.count >= MANY * size / 32768);
    for (size_t i = 0; i < MANY; i++)
        ahost__free(h, blocks[i * step % MANY], size);
    assert(slabs_held(h) <= before + before / 4 + 16);
}
#endif

/* A limit refuses what would go beyond it, to the byte, and leaves the block
 * that was to grow as it is. */
static void test_limit(ahost *h) {
    void *block = ahost__alloc(h, 100), *moved;
    memset(block, 7, 100);
    h->memory_limit = h->memory + 50;
    assert(ahost__alloc(h, 51) == NULL);
    assert(ahost__resize(h, block, 100, 151) == NULL);
    moved = ahost__resize(h, block, 100, 150);
    assert(moved != NULL && ((char *)moved)[99] == 7);
    assert(h->memory == h->memory_limit);
    ahost__free(h, moved, 150);
    h->memory_limit = 0;
}

int main(void) {
    ahost *h;
    alarm(50);
    assert(ahost_open(&h, NULL) == AHOST_OK);
    test_random(h);
#ifndef AHOST_PLAIN_MALLOC
    test_shrinking(h, 1);
    test_shrinking(h, 7919);
#endif
    test_limit(h);
    ahost_close(h);
    return 0;
}
