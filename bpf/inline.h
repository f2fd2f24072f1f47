/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the pure headers say to the compiler, so that the verifier sees the program as it is meant.
 */
#ifndef GATE25_INLINE_H
#define GATE25_INLINE_H

/* For what costs less than a call, or takes or gives more than one can. */
#define ALWAYS_INLINE static inline __attribute__((always_inline))

/*
 * Keeps the compiler from seeing what a value is made of: it would find out that arithmetic is a
 * comparison and make it a branch, and the verifier would follow each combination of them.
 */
#define OPAQUE(value) __asm__("" : "+r"(value))

#endif
