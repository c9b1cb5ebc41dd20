/*
 * slabs.h - small blocks of memory without headers.
 *
 * Who frees a block says how large it is, so that nothing has to be kept beside
 * it. Blocks of one size class share slabs, and a slab whose blocks have all
 * been freed goes back to the system: a program that once had ten thousand
 * connections is small again when they have gone.
 *
 * A block is aligned to 16 bytes when its size is a multiple of 16, else to 8:
 * to what any type of that size can need.
 */
#ifndef AHOST_SLABS_H
#define AHOST_SLABS_H

#include <stddef.h>
#include "list.h"

enum {
    AHOST__SLAB_UNIT = 8,       /* sizes are rounded up to it */
    AHOST__SLAB_LARGEST = 1024, /* size that comes from slabs */
    AHOST__SLAB_CLASSES = AHOST__SLAB_LARGEST / AHOST__SLAB_UNIT
};

typedef struct ahost__slabs {
    /* Slabs with room, by size class. */
    ahost__link usable[AHOST__SLAB_CLASSES];
    ahost__link spare;  /* slabs without a class, kept for the next need */
    size_t spare_count; /* at most a few and a quarter of `count` */
    size_t count;       /* slabs with a class */
} ahost__slabs;

void ahost__slabs_open(ahost__slabs *slabs);

/* Gives everything back; no block is in use. */
void ahost__slabs_close(ahost__slabs *slabs);

/* A block of `size` bytes, from 1 to AHOST__SLAB_LARGEST, not cleared; NULL
 * when the system has no memory. */
void *ahost__slabs_take(ahost__slabs *slabs, size_t size);

/* `size` is what it was taken with, or another one of the same class. */
void ahost__slabs_give(ahost__slabs *slabs, void *block, size_t size);

/* Whether blocks of both sizes are alike. */
static inline int ahost__slabs_same_class(size_t size, size_t other) {
    return (size - 1) / AHOST__SLAB_UNIT == (other - 1) / AHOST__SLAB_UNIT;
}

#endif
