/*
 * slabs.c - small blocks of memory without headers.
 *
 * A slab is aligned to its size, so that the address of a block tells where its
 * slab begins. Each slab has its own list of free blocks: what is taken
 * together lies together.
 */
#include "slabs.h"

#include <assert.h>
#include <stdint.h>
#include <sys/mman.h>

enum { SLAB_SIZE = 32768, SPARE_KEPT = 8 };

typedef struct block {
    struct block *next;
} block;

typedef struct slab {
    ahost__link link; /* among those with room of its class, or the spare */
    block *free;      /* blocks that have been given back */
    char *fresh;      /* the first block that has never been taken */
    uint32_t used, capacity; /* blocks */
    uint32_t unit;           /* size of each */
} slab;

/* Of a multiple of 16 bytes, as are the places of blocks of such sizes. */
static const size_t header_size = (sizeof(slab) + 15) / 16 * 16;

static slab *slab_of(ahost__link *link) {
    return ahost__container_of(link, slab, link);
}

static size_t class_of(size_t size) {
    return (size - 1) / AHOST__SLAB_UNIT;
}

/* ---- slabs -------------------------------------------------------------- */

/* Mappings tend to be made side by side: mostly the first is aligned. */
static slab *map_slab(void) {
    const int protection = PROT_READ | PROT_WRITE;
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    char *at = mmap(NULL, SLAB_SIZE, protection, flags, -1, 0);
    size_t before;
    if (at == MAP_FAILED)
        return NULL;
    if ((uintptr_t)at % SLAB_SIZE == 0)
        return (slab *)(void *)at;
    munmap(at, SLAB_SIZE);
    at = mmap(NULL, 2 * SLAB_SIZE, protection, flags, -1, 0);
    if (at == MAP_FAILED)
        return NULL;
    before = (SLAB_SIZE - (uintptr_t)at % SLAB_SIZE) % SLAB_SIZE;
    if (before > 0)
        munmap(at, before);
    munmap(at + before + SLAB_SIZE, SLAB_SIZE - before);
    return (slab *)(void *)(at + before);
}

/* The one that was in use last. */
static slab *take_spare(ahost__slabs *slabs) {
    ahost__link *link = slabs->spare.prev;
    ahost__list_remove(link);
    slabs->spare_count--;
    return slab_of(link);
}

/* A slab of this class with room, which there was none of. */
static slab *add_slab(ahost__slabs *slabs, size_t class) {
    slab *s = slabs->spare_count > 0 ? take_spare(slabs) : map_slab();
    if (s == NULL)
        return NULL;
    slabs->count++;
    s->unit = (uint32_t)(class + 1) * AHOST__SLAB_UNIT;
    s->capacity = (uint32_t)(SLAB_SIZE - header_size) / s->unit;
    s->used = 0;
    s->free = NULL;
    s->fresh = (char *)s + header_size;
    ahost__list_append(&slabs->usable[class], &s->link);
    return s;
}

/* Nothing in the slab is in use. The last one of a class stays where it is. */
static void retire(ahost__slabs *slabs, slab *s) {
    if (s->link.next == s->link.prev)
        return;
    ahost__list_remove(&s->link);
    slabs->count--;
    ahost__list_append(&slabs->spare, &s->link);
    slabs->spare_count++;
    while (slabs->spare_count > SPARE_KEPT + slabs->count / 4) {
        munmap(slab_of(ahost__list_shift(&slabs->spare)), SLAB_SIZE);
        slabs->spare_count--;
    }
}

/* ---- blocks ------------------------------------------------------------- */

void *ahost__slabs_take(ahost__slabs *slabs, size_t size) {
    ahost__link *usable = &slabs->usable[class_of(size)];
    slab *s = slab_of(usable->next);
    block *taken;
    if (ahost__list_empty(usable)) {
        s = add_slab(slabs, class_of(size));
        if (s == NULL)
            return NULL;
    }
    taken = s->free;
    if (taken != NULL) {
        s->free = taken->next;
    } else {
        taken = (block *)(void *)s->fresh;
        s->fresh += s->unit;
    }
    if (++s->used == s->capacity)
        ahost__list_remove(&s->link);
    return taken;
}

void ahost__slabs_give(ahost__slabs *slabs, void *given, size_t size) {
    slab *s = (slab *)(void *)((char *)given - (uintptr_t)given % SLAB_SIZE);
    block *freed = given;
    assert(s->unit == (class_of(size) + 1) * AHOST__SLAB_UNIT);
    if (s->used-- == s->capacity)
        ahost__list_append(&slabs->usable[class_of(size)], &s->link);
    freed->next = s->free;
    s->free = freed;
    if (s->used == 0)
        retire(slabs, s);
}

/* ---- the whole ---------------------------------------------------------- */

void ahost__slabs_open(ahost__slabs *slabs) {
    for (int i = 0; i < AHOST__SLAB_CLASSES; i++)
        ahost__list_init(&slabs->usable[i]);
    ahost__list_init(&slabs->spare);
}

static void unmap_all(ahost__link *list) {
    ahost__link *link;
    while ((link = ahost__list_shift(list)) != NULL) {
        assert(slab_of(link)->used == 0);
        munmap(slab_of(link), SLAB_SIZE);
    }
}

void ahost__slabs_close(ahost__slabs *slabs) {
    for (int i = 0; i < AHOST__SLAB_CLASSES; i++)
        unmap_all(&slabs->usable[i]);
    unmap_all(&slabs->spare);
}
